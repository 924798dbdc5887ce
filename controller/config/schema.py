"""The configuration as one frozen tree. Three files, three branches: `server.yaml`, `models.yaml`, `access.yaml`.

Every leaf says what it means (`description`) and when a change takes effect (an `Impact` in its annotation); the
commented examples in `config/` teach the same tree to people, and tests hold the two together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from controller.config import addresses, names, options
from controller.config.addresses import Place
from controller.config.impact import AT_ONCE, LISTENER, OWN, drains, restarts
from controller.config.units import Bytes, Says, Seconds, TimeOfDay

OLLAMA = "ollama"
TUNNEL = "tunnel"
_OLLAMA = drains(OLLAMA)
_TUNNEL = restarts(TUNNEL)
_CHILD = restarts(OWN)
_DAY = 86400  # seconds; no wait is longer
_OWN_FILES = 512  # open at a time for everything but answers: logs, the database, keepers, tools
Understood = Literal["no", "I understand that everybody on the internet may use it"]
RightName = Literal["infer", "embed", "audio", "list", "chat", "manage", "admin"]


def _empty_is_default(value: object) -> object:
    """A block whose every line is commented out is the block left out."""
    return {} if value is None else value


def _typed(value: object) -> object:
    """The YAML brings text: what it means depends on the parameter."""
    given = _empty_is_default(value)
    return {name: options.read(name, each) for name, each in given.items()} if isinstance(given, dict) else given


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("text without line breaks or control characters")
    return text


def _no_zero(text: str) -> str:
    if "\0" in text:
        raise ValueError("text without zero characters: no program could receive it")
    return text


def _hidden(variables: dict[str, str]) -> dict[str, str]:
    """Values of variables may be secrets: their names may be shown, they themselves leave only to the child."""
    return dict.fromkeys(variables, "(not shown)")


Address = Annotated[str, AfterValidator(addresses.listener_address), Says(addresses.LISTENER_WORDS)]
Network = Annotated[str, AfterValidator(addresses.network), Says(addresses.NETWORK_WORDS)]
Prefix = Annotated[str, AfterValidator(addresses.path_prefix), Says(addresses.PREFIX_WORDS)]
HostName = Annotated[str, AfterValidator(addresses.host_name), Says(addresses.HOST_WORDS)]
PublicName = Annotated[str, AfterValidator(addresses.public_name), Says(addresses.PUBLIC_NAME_WORDS)]
Origin = Annotated[str, AfterValidator(addresses.origin), Says(addresses.ORIGIN_WORDS)]
EdgeAddress = Annotated[str, AfterValidator(addresses.edge_address), Says(addresses.EDGE_WORDS)]
HeaderName = Annotated[str, AfterValidator(addresses.header_name), Says(addresses.HEADER_WORDS)]
Url = Annotated[str, AfterValidator(addresses.upstream_url), Says(addresses.URL_WORDS)]
ProbeUrl = Annotated[str, AfterValidator(addresses.probe_url), Says(addresses.PROBE_WORDS)]
Idle = Annotated[Seconds, Field(ge=0, le=365 * _DAY)]
Span = Annotated[Seconds, Field(gt=0, le=_DAY)]
Keep = Annotated[Seconds, Field(ge=_DAY, le=36500 * _DAY)]
Wait = Annotated[Seconds, Field(ge=0, le=_DAY)]
LaneName = Annotated[str, AfterValidator(names.lane_name), Says(names.LANE_WORDS)]
ModelName = Annotated[str, AfterValidator(names.model_name), Says(names.MODEL_WORDS)]
ModelPattern = Annotated[str, AfterValidator(names.model_pattern), Says(names.PATTERN_WORDS)]
Text = Annotated[str, AfterValidator(_one_line), Says("text on one line")]
Argument = Annotated[str, AfterValidator(_no_zero), Says("text")]
Variables = Annotated[
    dict[str, Annotated[str, AfterValidator(_no_zero)]],
    BeforeValidator(_empty_is_default),
    PlainSerializer(_hidden),
    Says("lines of the form NAME: value, NAME: {file: path} or NAME: {from: NAME}"),
]

Options = Annotated[
    dict[str, options.Value],
    BeforeValidator(_typed),
    Says("lines of the form parameter: value, such as num_ctx: 16384"),
]
Redirects = Annotated[
    dict[ModelPattern, ModelName],
    BeforeValidator(_empty_is_default),
    Says("lines of the form pattern: model, such as gpt-4o*: qwen3:32b"),
]


class Branch(BaseModel):
    """A part of the tree: frozen, and closed to keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, value: object) -> object:
        return _empty_is_default(value)


class Tls(Branch):
    """A listener's certificate: it then speaks https alone. Renewed files are taken over without a reload."""

    cert: Annotated[Path | None, LISTENER] = Field(
        None, description="The certificate with its chain, PEM; empty: plain http."
    )
    key: Annotated[Path | None, LISTENER] = Field(None, description="Its private key, PEM, in a file of ours (0600).")


class Listener(Branch):
    """One address that clients connect to. Trust belongs to the listener, never to a header."""

    address: Annotated[Address, LISTENER] = Field(
        description="host:port, [ipv6]:port, or unix:/path. Its own name in reloads."
    )
    kind: Annotated[Literal["direct", "tunnel", "proxy"], LISTENER] = Field(
        "direct",
        description="direct: peers are who their address says. tunnel: what cloudflared forwards to; on this machine "
        "only. proxy: behind a proxy of yours, which says who the visitor is.",
    )
    trusted: Annotated[tuple[Network, ...], LISTENER] = Field(
        (), description="kind proxy: the proxy's own addresses; nobody else gets in there. On a unix: socket, none."
    )
    header: Annotated[HeaderName, LISTENER] = Field(
        "x-forwarded-for",
        description="kind proxy: its header with the visitor's address. Of a list, the last one that is not `trusted`.",
    )
    tls: Tls = Tls()
    plain_cookies: Annotated[bool, LISTENER] = Field(
        False,
        description="People may sign in without https here: only on an address of the house, whose network you trust.",
    )

    @property
    def place(self) -> Place:
        """The address, taken apart."""
        return addresses.place(self.address)


class Limits(Branch):
    """What one request may cost."""

    body: Annotated[Bytes, AT_ONCE] = Field(32 * 2**20, ge=1024, description="Longest request body, blobs excepted.")
    decoded: Annotated[Bytes, AT_ONCE] = Field(20 * 2**20, ge=1024, description="Longest body once decompressed.")
    unread: Annotated[Bytes, AT_ONCE] = Field(
        16 * 2**20, ge=65536, description="Answer a client may leave unread before it is let go."
    )
    inputs: Annotated[int, AT_ONCE] = Field(
        2048, ge=1, le=65536, description="Texts that one request may want embeddings of; more are told 400."
    )
    connections: Annotated[int, LISTENER] = Field(
        512, ge=8, le=20000, description="Connections to one listener at a time; more are told 503 and to come back."
    )
    per_address: Annotated[int, LISTENER] = Field(
        64,
        ge=4,
        le=20000,
        description="Connections one other machine may have to a listener, and open requests one visitor may have whom "
        "a tunnel or proxy names; more are told 429 and closed.",
    )


class Waits(Branch):
    """How long the parts of a request may take. Each ends with its own reason."""

    wait: Annotated[Span, AT_ONCE] = Field(1800, description="Longest a request waits in the line.")
    load: Annotated[Span | None, AT_ONCE] = Field(
        None, description="Longest it waits for its model while that loads; empty: as long as a load may take."
    )
    first_byte: Annotated[Span, AT_ONCE] = Field(
        600, description="Longest without the answer's first byte while its model does nothing for it."
    )
    gap: Annotated[Span, AT_ONCE] = Field(
        120, description="Longest silence in the middle of an answer while its model does nothing for it."
    )
    answer: Annotated[Span, AT_ONCE] = Field(
        600, description="Longest an answer goes on while somebody waits for its model or the memory that takes."
    )


class SomeWaits(Branch):
    """As `times`, for one lane or one model: what is empty is as everywhere."""

    wait: Annotated[Span | None, AT_ONCE] = Field(None, description="Longest a request waits in the line.")
    load: Annotated[Span | None, AT_ONCE] = Field(
        None, description="Longest it waits for its model while that loads. Of a model: longest its load may take."
    )
    first_byte: Annotated[Span | None, AT_ONCE] = Field(
        None, description="Longest without the answer's first byte while its model does nothing for it."
    )
    gap: Annotated[Span | None, AT_ONCE] = Field(
        None, description="Longest silence in the middle of an answer while its model does nothing for it."
    )
    answer: Annotated[Span | None, AT_ONCE] = Field(
        None, description="Longest an answer goes on while somebody waits for its model or the memory that takes."
    )


class Line(Branch):
    """Who goes next. Lower lanes go first; waiting makes up for a lane, so that everyone's turn comes."""

    aging: Annotated[Span, AT_ONCE] = Field(600, description="Waiting this long makes up for one lane.")
    patience: Annotated[Wait, AT_ONCE] = Field(
        30, description="How long requests for a loaded model may overtake one whose model is not loaded."
    )
    min_stay: Annotated[Wait, AT_ONCE] = Field(
        60, description="A model that was just loaded stays so long while somebody wants it (or 3 × its load time)."
    )
    linger: Annotated[Wait, AT_ONCE] = Field(
        10, description="A model a better lane has just used is kept so long: a coding agent thinks between calls."
    )
    max_charge: Annotated[Wait, AT_ONCE] = Field(60, description="The most that earlier use can set a caller back.")
    running: Annotated[int | None, AT_ONCE] = Field(
        None,
        ge=1,
        le=1000,
        description="Answers a caller may have at a time; empty: as many as there are free slots for.",
    )
    waiting: Annotated[int, AT_ONCE] = Field(64, ge=1, le=10000, description="Requests a caller may have waiting.")
    bytes: Annotated[Bytes, AT_ONCE] = Field(
        64 * 2**20, ge=1024, description="Bytes of waiting requests a caller may have."
    )
    whole: Annotated[int, AT_ONCE] = Field(1024, ge=1, le=100000, description="Requests that may wait in all.")
    times: Waits = Waits()
    lanes: Annotated[dict[LaneName, SomeWaits], BeforeValidator(_empty_is_default)] = Field(
        {}, description="Other times for a lane, by its number."
    )


class Memory(Branch):
    """How much of the machine's memory models may take."""

    budget: Annotated[Literal["auto"] | Bytes, AT_ONCE] = Field(
        "auto", description="Memory that models may take in all. auto: worked out from what the machine says."
    )
    reserve: Annotated[Bytes, AT_ONCE] = Field(
        4 * 2**30, ge=0, description="Memory that auto leaves to everything else."
    )


class Power(Branch):
    """Whether this machine may fall asleep when nobody touches it. What a person orders, or a lid, is obeyed."""

    awake: Annotated[Literal["while_busy", "always", "never"], AT_ONCE] = Field(
        "while_busy",
        description="while_busy: it stays awake while something is answered, loaded or waited for, and a minute more. "
        "always: as long as Seadragon runs. never: its sleep is left alone.",
    )


class Backup(Branch):
    """A copy of the database every night, into data/backups. `seadragon restore` puts one back."""

    at: Annotated[Literal["off"] | TimeOfDay, AT_ONCE] = Field(
        "03:30", description="When, by this machine's clock; later if it was off or asleep then. off: never."
    )
    daily: Annotated[int, AT_ONCE] = Field(7, ge=1, le=366, description="Copies kept of the last days.")
    weekly: Annotated[int, AT_ONCE] = Field(4, ge=0, le=520, description="Copies kept of the last weeks.")


class Log(Branch):
    """logs/controller.jsonl, one JSON object a line. Never a prompt, a key or a password."""

    level: Annotated[Literal["debug", "info", "warning", "error"], AT_ONCE] = Field(
        "info", description="Least important line that is written."
    )
    access: Annotated[bool, AT_ONCE] = Field(True, description="One line for each request, refused ones too.")
    file_size: Annotated[Bytes, AT_ONCE] = Field(32 * 2**20, ge=65536, description="Size at which a log file rotates.")
    files: Annotated[int, AT_ONCE] = Field(5, ge=1, le=100, description="Rotated files kept.")


class Usage(Branch):
    """What everybody used: how much, never what about."""

    keep: Annotated[Keep, AT_ONCE] = Field(90 * _DAY, description="How long each request is kept.")
    daily: Annotated[Keep, AT_ONCE] = Field(730 * _DAY, description="How long the sums of each day are kept.")


class Audit(Branch):
    """Who did what, and what was refused."""

    keep: Annotated[Keep, AT_ONCE] = Field(400 * _DAY, description="How long each deed is kept.")


class Ollama(Branch):
    """The upstream."""

    mode: Annotated[Literal["spawn", "adopt", "external"], _OLLAMA] = Field(
        "spawn",
        description="spawn: ours, started and stopped by us. adopt: use the one already running on this machine, start "
        "ours only if there is none. external: an Ollama elsewhere, only asked how it is.",
    )
    url: Annotated[Url | None, _OLLAMA] = Field(
        None, description="Where it is. external: needed. adopt: empty means http://127.0.0.1:11434."
    )
    binary: Annotated[Path | None, _OLLAMA] = Field(None, description="The ollama program; empty: it is looked for.")
    port: Annotated[int | None, _OLLAMA] = Field(
        None, ge=1024, le=65535, description="Its private port on 127.0.0.1; empty: a free one is picked at start."
    )
    renew: Annotated[Literal["when_idle", "never"], AT_ONCE] = Field(
        "when_idle",
        description="When its program on the disk is another one (an upgrade). when_idle: that one is tried, and takes "
        "over once nothing was asked for a minute. never: you are told.",
    )
    environment: Annotated[Variables, _OLLAMA] = Field(
        {}, repr=False, description="Further environment variables. What Seadragon sets itself is refused here."
    )
    startup: Annotated[Seconds, AT_ONCE] = Field(
        120, gt=0, le=_DAY, description="Longest it may take to answer after a start."
    )
    probe_every: Annotated[Seconds, AT_ONCE] = Field(2, gt=0, le=_DAY, description="Pause between two probes.")
    probe_limit: Annotated[Seconds, AT_ONCE] = Field(2, gt=0, le=_DAY, description="Longest a probe may take.")
    probe_misses: Annotated[int, AT_ONCE] = Field(
        3, ge=1, le=1000, description="Missed probes in a row that mean it hangs."
    )
    stop_grace: Annotated[Seconds, AT_ONCE] = Field(
        10, ge=0, le=_DAY, description="Time to leave after TERM, then KILL."
    )


class Tunnel(Branch):
    """cloudflared. Its way in is a listener of its own, where everybody needs a key or an account."""

    mode: Annotated[Literal["off", "token", "named", "quick"], _TUNNEL] = Field(
        "off",
        description="token: managed in Cloudflare's dashboard. named: a tunnel of yours with its credentials file. "
        "quick: a throw-away public name, for trying out.",
    )
    binary: Annotated[Path | None, _TUNNEL] = Field(None, description="The cloudflared program; empty: looked for.")
    token_file: Annotated[Path | None, _TUNNEL] = Field(None, description="mode token: a file (0600) with the token.")
    tunnel_id: Annotated[Text | None, _TUNNEL] = Field(None, description="mode named: the tunnel's id.")
    credentials_file: Annotated[Path | None, _TUNNEL] = Field(None, description="mode named: its credentials (0600).")
    hostnames: Annotated[tuple[PublicName, ...], _TUNNEL] = Field(
        (), description="The public names. named: the only ones that lead here. token: for the doctor and redirects."
    )
    protocol: Annotated[Literal["auto", "http2", "quic"], _TUNNEL] = Field("auto", description="How it connects.")
    edge: Annotated[tuple[EdgeAddress, ...], _TUNNEL] = Field(
        (), description="host:port of a private edge, two at least."
    )
    edge_ca: Annotated[Path | None, _TUNNEL] = Field(None, description="CA certificate of that private edge.")
    grace: Annotated[Seconds, _TUNNEL] = Field(60, ge=0, le=180, description="Time its streams get when it stops.")
    environment: Annotated[Variables, _TUNNEL] = Field({}, repr=False, description="Further variables.")


class Child(Branch):
    """Any further program to keep running: ngrok, caffeinate, another server."""

    command: Annotated[tuple[Argument, ...], _CHILD] = Field(
        min_length=1, description="Program and arguments, no shell."
    )
    environment: Annotated[Variables, _CHILD] = Field({}, repr=False, description="Its variables.")
    folder: Annotated[Path | None, _CHILD] = Field(None, description="Where it runs; empty: the data folder.")
    probe: Annotated[ProbeUrl | None, AT_ONCE] = Field(
        None, description="URL that answers 200 when it is ready; empty: ready as soon as it runs."
    )
    startup: Annotated[Seconds, AT_ONCE] = Field(60, gt=0, le=_DAY, description="Longest it may take to get ready.")
    stop_grace: Annotated[Seconds, AT_ONCE] = Field(
        10, ge=0, le=_DAY, description="Time to leave after TERM, then KILL."
    )
    files: Annotated[int, _CHILD] = Field(65536, ge=64, le=2**20, description="Files it may have open.")


class Surface(Branch):
    """One part of what is served, and where."""

    tunnel: Annotated[bool, AT_ONCE] = Field(False, description="Whether it answers through the tunnel, too.")


class Surfaces(Branch):
    """What is not served everywhere."""

    admin: Surface = Surface()


class FirstFiller(Branch):
    """How long an answer in one piece may be waited for without a byte. Until then a failure keeps its true status;
    then a space goes ahead, so that nothing on the way takes the silence for the end.
    """

    direct: Annotated[Span, AT_ONCE] = Field(60, description="On a direct listener.")
    proxy: Annotated[Span, AT_ONCE] = Field(
        30, description="Behind a proxy of yours: less than it waits. nginx waits 60 s."
    )
    tunnel: Annotated[Span, AT_ONCE] = Field(60, description="Through the tunnel: Cloudflare waits 100 s.")


class Server(Branch):
    """server.yaml: processes, listeners, limits."""

    listeners: tuple[Listener, ...] = Field(
        (Listener(address="127.0.0.1:8420"),), min_length=1, description="Where clients connect."
    )
    prefixes: Annotated[tuple[Prefix, ...], AT_ONCE] = Field(
        ("/api/code", "/ollama"), description="Path prefixes under which the whole API answers too. They add no right."
    )
    require_https: Annotated[Literal["off", "pages", "all"], AT_ONCE] = Field(
        "off",
        description="pages: people are sent on to https. all: a key that comes over plain http is refused as well. "
        "This computer itself is excepted.",
    )
    surfaces: Surfaces = Surfaces()
    hold: Annotated[Seconds, AT_ONCE] = Field(
        60, ge=0, le=_DAY, description="Longest a request waits for Ollama to come back."
    )
    drain: Annotated[Seconds, AT_ONCE] = Field(
        120, ge=0, le=_DAY, description="Time that answers in flight get before a stop."
    )
    adopt_grace: Annotated[Seconds, AT_ONCE] = Field(
        60, ge=1, le=_DAY, description="How long children outlive a crashed controller, waiting for the next one."
    )
    first_filler: FirstFiller = FirstFiller()
    limits: Limits = Limits()
    line: Line = Line()
    memory: Memory = Memory()
    power: Power = Power()
    backup: Backup = Backup()
    log: Log = Log()
    usage: Usage = Usage()
    audit: Audit = Audit()
    ollama: Ollama = Ollama()
    tunnel: Tunnel = Tunnel()
    children: Annotated[dict[str, Child], BeforeValidator(_empty_is_default)] = Field(
        {}, description="Further programs to keep running, by name."
    )

    @property
    def files_needed(self) -> int:
        """Files that are open when every connection is used: each answer takes two, and a tunnel has a listener too."""
        return 2 * self.limits.connections * (len(self.listeners) + 1) + _OWN_FILES


class OneModel(Branch):
    """What differs for one model. What is empty is as everywhere."""

    keep_alive: Annotated[Idle | Literal["forever"] | None, AT_ONCE] = Field(
        None, description="How long it stays in memory when idle."
    )
    preload: Annotated[Literal["no", "at_start"], AT_ONCE] = Field(
        "no", description="at_start: loaded as soon as Ollama runs."
    )
    pin: Annotated[bool, AT_ONCE] = Field(False, description="Once loaded it stays, whatever else is wanted.")
    memory_gb: Annotated[float | None, AT_ONCE] = Field(
        None, gt=0, le=4096, description="GiB it takes when loaded, if you know better than the estimate."
    )
    times: SomeWaits = SomeWaits()


class Alias(Branch):
    """A name of yours for a model with options of its own: made as a model of that name in Ollama."""

    base: Annotated[ModelName, AT_ONCE] = Field(description="The model it is made from.")
    options: Annotated[Options, AT_ONCE] = Field(
        {}, description="Ollama's parameters, such as num_ctx, temperature or stop."
    )
    system: Annotated[str | None, AT_ONCE] = Field(None, description="A system prompt of its own.")


class Models(Branch):
    """models.yaml: what Ollama loads, and how."""

    folder: Annotated[Path | None, _OLLAMA] = Field(
        None, description="Where models are stored; empty: OLLAMA_MODELS of the environment, else ~/.ollama/models."
    )
    context_length: Annotated[int, _OLLAMA] = Field(
        8192,
        ge=256,
        le=4_194_304,
        description="Tokens a model sees at once. Never left to Ollama: it takes 262144 on a 64 GB Mac.",
    )
    parallel: Annotated[int, _OLLAMA] = Field(1, ge=1, le=256, description="Answers one model writes at a time.")
    max_loaded: Annotated[int, AT_ONCE] = Field(8, ge=1, le=256, description="Models in memory at a time, at most.")
    keep_alive: Annotated[Idle | Literal["forever"], AT_ONCE] = Field(
        "forever", description="How long an idle model stays in memory when nobody needs its room."
    )
    load_timeout: Annotated[Seconds, _OLLAMA] = Field(300, gt=0, le=_DAY, description="Longest a load may take.")
    flash_attention: Annotated[bool | None, _OLLAMA] = Field(None, description="Empty: Ollama decides.")
    kv_cache_type: Annotated[Literal["f16", "q8_0", "q4_0"] | None, _OLLAMA] = Field(
        None, description="Precision of the context memory; q8_0 halves it. Needs flash attention."
    )
    prompt_cache: Annotated[Literal["auto"] | Bytes, _OLLAMA] = Field(
        "auto",
        description="Conversations each model in memory keeps in RAM, so as not to read them again; 0: none. auto: "
        "2 GiB, none where there is less than 20 in all. Ollama before 0.30 keeps none, an MLX model up to 8 always.",
    )
    no_cloud: Annotated[bool, _OLLAMA] = Field(True, description="Nothing is ever forwarded to ollama.com.")
    default: Annotated[ModelName | None, AT_ONCE] = Field(
        None, description="The model of a request that names none; empty: Ollama's own error."
    )
    max_tokens: Annotated[int | None, AT_ONCE] = Field(
        None, ge=1, description="Longest answer a request may ask for, in tokens; empty: no limit but the time's."
    )
    gpu: Annotated[Literal["auto", "required", "any"], AT_ONCE] = Field(
        "auto",
        description="required: nothing is asked of an Ollama that found no GPU. any: it may work on the processor. "
        "auto: required on a Mac with Apple silicon.",
    )
    redirect: Annotated[Redirects, AT_ONCE] = Field(
        {}, description="Names that mean another model, such as gpt-4o*. The answer then names the real one."
    )
    models: Annotated[dict[ModelName, OneModel], BeforeValidator(_empty_is_default)] = Field(
        {}, description="What differs for one model, by name."
    )
    aliases: Annotated[dict[ModelName, Alias], BeforeValidator(_empty_is_default)] = Field(
        {}, description="Names of yours, each a model with options of its own."
    )


class Allowed(Branch):
    """Addresses that may come in without a key."""

    label: Annotated[Text, AT_ONCE] = Field(
        min_length=1, max_length=64, description="Who this is, in logs and usage; none is like another."
    )
    addresses: Annotated[tuple[Network, ...], AT_ONCE] = Field(min_length=1, description="IP addresses or CIDR ranges.")
    lane: Annotated[float, AT_ONCE] = Field(1, ge=0, le=1000, description="Priority; lower goes sooner.")
    manage: Annotated[bool, AT_ONCE] = Field(
        False, description="May also pull, create, copy, delete, load and unload models, and pause the line."
    )
    default: Annotated[ModelName | None, AT_ONCE] = Field(
        None, description="The model of their requests that name none; empty: the one of models.yaml."
    )
    running: Annotated[int | None, AT_ONCE] = Field(
        None, ge=1, le=1000, description="Answers they may have at a time; empty: as in server.yaml, line."
    )
    waiting: Annotated[int | None, AT_ONCE] = Field(
        None, ge=1, le=10000, description="Requests they may have waiting; empty: as in server.yaml, line."
    )
    models: Annotated[tuple[ModelPattern, ...], AT_ONCE] = Field(
        (), description="The models they may use, * for anything; all others do not exist for them. Empty: all."
    )
    through_tunnel: Annotated[bool, AT_ONCE] = Field(
        False, description="Counts for visitors of the tunnel too, by the address that Cloudflare names."
    )


class Role(Branch):
    """What callers of one role may do."""

    may: Annotated[tuple[RightName, ...] | None, AT_ONCE] = Field(
        None, description="Their rights, all of them; empty: as docs/policy.md says."
    )


class Roles(Branch):
    """Who may do what, where it differs from docs/policy.md."""

    anonymous: Role = Role()
    address: Role = Role()
    key: Role = Role()
    child: Role = Role()
    member: Role = Role()
    admin: Role = Role()


class Rates(Branch):
    """Requests a minute; as many may come at once. More are told 429 and when to come back."""

    key: Annotated[int | None, AT_ONCE] = Field(
        600, ge=1, le=1_000_000, description="Of one key that has no number of its own; empty: no limit."
    )
    address: Annotated[int | None, AT_ONCE] = Field(
        None, ge=1, le=1_000_000, description="Of one address on the allow-list; empty: no limit."
    )
    anonymous: Annotated[int, AT_ONCE] = Field(
        30,
        ge=1,
        le=1_000_000,
        description="Of one address of strangers (IPv6: of one /64), where they may do anything.",
    )
    wrong: Annotated[int, AT_ONCE] = Field(
        20,
        ge=1,
        le=1_000_000,
        description="Wrong keys from one address (IPv6: from one /64). The right key works all the same.",
    )


class Access(Branch):
    """access.yaml: who may come in."""

    allow: tuple[Allowed, ...] = Field(
        (Allowed(label="this computer", addresses=("127.0.0.1", "::1")),),
        description="First match wins. Empty: nobody.",
    )
    hosts: Annotated[tuple[HostName, ...], AT_ONCE] = Field(
        ("localhost",), description="Names this server is called by, beside its own addresses. Others get 421."
    )
    origins: Annotated[tuple[Origin, ...], AT_ONCE] = Field(
        ("vscode-webview://*", "vscode-file://*", "app://*", "tauri://*"),
        description="Web origins whose pages may call the API.",
    )
    roles: Roles = Roles()
    open_tunnel_to_anonymous: Annotated[Understood, AT_ONCE] = Field(
        "no", description="What `roles.anonymous` may do, it may do through the tunnel too: only with this sentence."
    )
    rates: Rates = Rates()


class Config(Branch):
    """The whole tree."""

    server: Server = Server()
    models: Models = Models()
    access: Access = Access()
