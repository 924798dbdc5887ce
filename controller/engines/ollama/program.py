"""`ollama serve`: ours, one that runs already, or one elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import platform
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from controller.config.schema import Config
from controller.engines.engine import Accelerator
from controller.engines.ollama.accelerator import accelerator_limit, gpu_lost
from controller.engines.ollama.client import holders
from controller.engines.ollama.inside import KnownInside, RunnerKind, inside_of, numbers_of
from controller.engines.ollama.models_folder import ModelsFolder, models_folder
from controller.engines.ollama.needs import CHECKPOINTS, prompt_cache
from controller.engines.ollama.renewal import Disk, Found, Trial, going_back
from controller.engines.ollama.settings import OLLAMA, USUAL_URL
from controller.errors import SpawnFailed, Unreachable
from controller.obtain import whole
from controller.plain import MIB
from controller.readiness import Address, Readiness, Verdict
from controller.supervision import ports
from controller.supervision.moves import Answered, Bereft, ChildLimits, Diagnosis, ExitKind, GpuLost, Obstacle, Silent
from controller.supervision.probe import ask
from controller.supervision.programs import (
    Attach,
    EndedRun,
    Launch,
    Note,
    Plan,
    ProbeResult,
    Runs,
    Workspace,
    blocked,
    crash,
    find,
    not_ours,
    port_of,
    port_problem,
    stamp,
    stopped_outside,
    unfit,
    which_file,
    with_last_words,
)
from controller.supervision.spec import ChildSpec, ChildState
from controller.supervision.tools import run_tool

PORT_TAKEN = re.compile(rb"bind: address already in use")
HIGHEST_QUEUE = 4096  # the gateway keeps the line; Ollama's own, answered with 503, should never be full
MOST_LOADED = 1024  # and it decides what is loaded: Ollama is never to make room by itself
APPLE_SILICON = (sys.platform, platform.machine()) == ("darwin", "arm64")
MODELS = "models"  # in a note: which folder the models were in when it first answered
TRIAL = 20.0  # seconds a program that is to take over may take to say its version: a Mac looks at a new one first
NO_GPU = "cpu"  # what Ollama's log calls it
LOOKS = 20  # into the log of one start: it has said by its first answer what it found, and no version need say it so


@dataclass(slots=True)
class OllamaServe:
    """Ollama as `config` wants it, on a machine with so many bytes of RAM. It tells `readiness` how it is, and `inside`
    which: nobody else does.
    """

    config: Config
    place: Workspace
    readiness: Readiness
    inside: KnownInside
    ram: Callable[[], int]
    _looks: tuple[int | None, int] = field(default=(None, 0), init=False)  # (pid, times its log was searched)
    _look: asyncio.Future[tuple[str, list[int] | None]] | None = field(default=None, init=False)  # at its models
    _verified: tuple[int, int] | None = field(default=None, init=False)  # (pid, port) whose listener is surely ours

    @property
    def name(self) -> str:
        return OLLAMA

    @property
    def limits(self) -> ChildLimits:
        wish = self.config.server.ollama
        return ChildLimits(wish.startup, wish.probe_every, wish.probe_limit, wish.probe_misses, wish.stop_grace)

    # --- starting ---

    async def plan(self) -> Plan:
        wish = self.config.server.ollama
        if wish.mode == "external":
            return Attach({"url": self._elsewhere()})
        if wish.mode == "adopt" and await self._answers(self._elsewhere()):
            return Attach({"url": self._elsewhere()})
        program = self._program() or blocked("ollama", self.config.server.ollama.binary, self.place)
        if program is None:
            return Obstacle(ChildState.MISCONFIGURED, NOT_FOUND)
        if problem := unfit(program, "server.ollama.binary"):
            return problem
        if wish.port is not None and (problem := await port_problem(wish.port, "server.ollama.port")):
            return problem
        if away := await self._models_away():
            return Obstacle(ChildState.WAITING, away)
        port = wish.port or ports.free_port()
        note = {"port": port, "program": str(program), "made_of": which_file(program)}
        return Launch(self._spec(program, port), note, stamp(program), going_back)

    def spec(self, note: Note) -> ChildSpec | None:
        wish, port = self.config.server.ollama, port_of(note)
        if wish.mode == "external" or port is None or wish.port not in (None, port):
            return None
        return self._spec(self._program() or Path(str(note.get("program"))), port)

    def _program(self) -> Path | None:
        return find("ollama", self.config.server.ollama.binary, self.place)

    def _spec(self, program: Path, port: int) -> ChildSpec:
        wish = self.config.server.ollama
        return ChildSpec(
            name=OLLAMA,
            argv=(str(program), "serve"),
            environment=self.place.variables(wish.environment, self._variables(port)),
            folder=str(self.place.data),
            stop_grace=wish.stop_grace,
            log_file=self.place.log(OLLAMA),
            log_file_size=self.place.log_file_size,
            log_files=self.place.log_files,
        )

    def _variables(self, port: int) -> dict[str, str]:
        """Ollama's own settings; an empty one is left to Ollama."""
        models = self.config.models
        folder = self._models.path
        variables = {
            "OLLAMA_HOST": f"{ports.HERE}:{port}",
            "OLLAMA_MODELS": str(folder),
            "OLLAMA_NOPRUNE": ""
            if folder.is_relative_to(self.place.data)
            else "1",  # others' models are not ours to tidy
            "OLLAMA_CONTEXT_LENGTH": str(models.context_length or ""),
            "OLLAMA_NUM_PARALLEL": str(models.parallel),
            "OLLAMA_MAX_LOADED_MODELS": str(MOST_LOADED),
            "OLLAMA_MAX_QUEUE": str(HIGHEST_QUEUE),
            "OLLAMA_KEEP_ALIVE": "-1",
            "OLLAMA_LOAD_TIMEOUT": f"{models.load_timeout:g}s",
            "OLLAMA_FLASH_ATTENTION": "" if models.flash_attention is None else str(int(models.flash_attention)),
            "OLLAMA_KV_CACHE_TYPE": models.kv_cache_type or "",
            "OLLAMA_NO_CLOUD": "1" if models.no_cloud else "",
            "LLAMA_ARG_CACHE_RAM": str(-(-prompt_cache(models, self.ram()) // MIB)),  # llama-server's own: MiB, 0: none
            "LLAMA_ARG_CTX_CHECKPOINTS": str(CHECKPOINTS),
        }
        return {name: value for name, value in variables.items() if value}

    # --- its models' disk ---

    @property
    def _models(self) -> ModelsFolder:
        return models_folder(self.config.models.folder, self.place.environment)

    async def _models_away(self, noted: object = None) -> str:
        """Why it cannot have its models now; empty when it can. `noted`: which folder it was when they were used."""
        away, mark = await self._looked()
        if away or noted is None or mark == noted:
            return away
        return f"Another folder has taken the place of {self._models.path}: Ollama is started anew."

    async def _looked(self) -> tuple[str, list[int] | None]:
        """A share whose server is gone may keep whoever looks for minutes: one look at a time, that nobody waits for.
        Raises OSError when it takes too long.
        """
        folder = self._models
        look = self._look
        if look is None or look.done():
            look = asyncio.ensure_future(asyncio.to_thread(lambda: (folder.away(), folder.mark())))
            self._look = look
        await asyncio.wait([look], timeout=self.limits.probe_limit)
        if not look.done():
            raise TimeoutError(f"{folder.path} does not answer")
        return look.result()

    # --- asking ---

    async def probe(self, runs: Runs) -> ProbeResult:
        port = port_of(runs.note)
        if runs.pid is not None and port is not None and self._verified != (runs.pid, port):
            if (verdict := await not_ours(port, runs.pid)) is not None:
                return ProbeResult(verdict)
            self._verified = (runs.pid, port)
        noted = runs.note.get(MODELS)
        with suppress(TimeoutError):  # a disk that is slow to wake up says nothing of Ollama
            if runs.pid is not None and (away := await self._models_away(noted)):
                return ProbeResult(Bereft(away))
        try:
            reply = await ask(f"{self.url(runs.note)}/api/version", self.limits.probe_limit)
        except Unreachable as problem:
            return ProbeResult(Silent(str(problem)))
        if reply.status != 200 or "version" not in reply.facts():
            return ProbeResult(Silent(f"what answers at {self.url(runs.note)} is no Ollama: status {reply.status}"))
        version = str(reply.facts()["version"])
        self.inside.learn(inside_of(version, await self._seen(version, runs)))
        answered = ProbeResult(Answered(), {"version": version})
        if runs.pid is None:
            return answered
        if noted is None and (mark := await asyncio.to_thread(self._models.mark)) is not None:
            answered = replace(answered, note={MODELS: mark})
        answered = await self._with_gpu(answered, runs)
        note = {**answered.note, **self._worth_keeping(answered, version, runs.note)}
        with contextlib.suppress(OSError):  # it says nothing of whether it is well
            found = await asyncio.to_thread(self._found, {**note, **runs.note})
            answered = replace(answered, facts={**answered.facts, "on_disk": found.state})
        return replace(answered, note=note)

    def _worth_keeping(self, answered: ProbeResult, version: str, note: Note) -> Note:
        """Which program it is, and that it works: to know another one, and the way back."""
        kept = {} if "made_of" in note else {"made_of": which_file(Path(str(note.get("program"))))}
        works = isinstance(answered.verdict, Answered) and note.get("version") != version
        return {**kept, "version": version} if works else kept

    def disk(self, note: Note) -> Disk:
        """What a start would run now, beside what runs with this note, and the way back. For a thread."""
        made_of, version = note.get("made_of"), str(note.get("version") or "")
        real = str(made_of[0]) if isinstance(made_of, list) else ""
        back = going_back(version, real, bool(real) and which_file(Path(real)) == made_of) if version else ""
        return Disk(self._found(note), version, back)

    def _found(self, note: Note) -> Found:
        """Cheap while nothing has changed."""
        made_of, runs = note.get("made_of"), str(note.get("program"))
        if not made_of or which_file(Path(runs)) == made_of:
            return Found()
        program = self._program()
        seen = which_file(program) if program is not None else None
        if program is None or seen is None:
            return Found("gone", runs)
        return Found() if seen == made_of else Found("another", str(program), tuple(seen))

    async def attempt(self, program: str) -> Trial:
        """Whether a program that would take over runs at all, and is whole."""
        environment = dict(self.place.variables({"OLLAMA_HOST": whole.NOWHERE}))
        try:
            said = await run_tool([program, "--version"], limit=TRIAL, environment=environment)
        except SpawnFailed as problem:
            return Trial(fault=str(problem).rstrip("."))
        told = whole.told_version((said.out + said.err).decode(errors="replace"))
        if said.late or said.code or told is None:
            words = "it does not answer" if said.late else f"it left with exit code {said.code}"
            return Trial(fault=with_last_words(f"asked for its version, {words}", said.err))
        lacks = await asyncio.to_thread(whole.missing, Path(program), told)
        return Trial(told, f"it has no {whole.SERVER} beside it" if whole.SERVER in lacks else "")

    async def _seen(self, version: str, runs: Runs) -> set[RunnerKind]:
        """What holds its models, where its version does not tell."""
        if runs.pid is None or numbers_of(version) is not None:
            return set()
        return {held.kind for _, held in await asyncio.to_thread(holders, runs.pid)}

    async def _with_gpu(self, answered: ProbeResult, runs: Runs) -> ProbeResult:
        """What the answer is worth, given what it computes with. Of an Ollama that is not ours nobody can tell."""
        noted = runs.note.get("library")
        library = noted if isinstance(noted, str) else await self._library(runs)
        if library is None:
            unsaid = self._lost(NO_GPU) and self._looks[1] < LOOKS
            return replace(answered, verdict=Silent(UNSAID)) if unsaid else answered
        return ProbeResult(
            await _gpu_lost(answered, runs) if self._lost(library) else answered.verdict,
            {**answered.facts, "library": library},
            {**answered.note, **({} if noted else {"library": library})},  # an adopted one may have said it long ago
        )

    def _lost(self, library: str) -> bool:
        return gpu_lost(Accelerator(library), self.config.models.gpu, silicon=APPLE_SILICON)

    async def _library(self, runs: Runs) -> str | None:
        """What its log says it computes with; None when it does not, or has been searched in vain often enough."""
        pid, looks = self._looks if self._looks[0] == runs.pid else (runs.pid, 0)
        self._looks = (pid, looks + 1)
        if runs.tail is None or looks >= LOOKS:
            return None
        found = accelerator_limit((await runs.tail()).decode(errors="replace"))
        return found.library if found else None

    async def _answers(self, url: str) -> bool:
        try:
            return "version" in (await ask(f"{url}/api/version", self.limits.probe_limit)).facts()
        except Unreachable:
            return False

    async def network(self) -> bool:
        return True

    def _elsewhere(self) -> str:
        return (self.config.server.ollama.url or USUAL_URL).rstrip("/")

    def url(self, note: Note) -> str | None:
        port = port_of(note)
        return f"http://{ports.HERE}:{port}" if port is not None else str(note["url"]) if "url" in note else None

    # --- telling ---

    async def diagnose(self, ended: EndedRun) -> Diagnosis:
        if PORT_TAKEN.search(ended.tail) and ended.exit.code == 1:
            return Diagnosis(ExitKind.TAKEN, "found its port taken by another program")
        if stopped_outside(ended):
            return Diagnosis(
                ExitKind.OUTSIDE, "was told to leave by another program", await asyncio.to_thread(_culprit)
            )
        return crash(ended)

    def tell(self, verdict: Verdict, reason: str, note: Note) -> None:
        url = self.url(note)
        if verdict != "ready" or url is None:
            return self.readiness.set("down" if verdict == "ready" else verdict, reason)
        where = urlsplit(url)
        generation = note.get("generation")
        address = Address(where.hostname or "", where.port or 80, generation if isinstance(generation, int) else 0)
        self.readiness.set("ready", reason, address)


GPU_LOST = (
    "Ollama found no GPU and would work on the processor, many times slower: nothing is asked of it. It looks again by "
    "itself, ever more rarely, and at once with `seadragon restart ollama`; models.gpu: any lets it work as it is."
)
INCOMPLETE = (
    "Ollama has no llama-server beside it, so that it finds no GPU and loads no GGUF model: nothing is asked of it. "
    "`seadragon doctor` says how to make it whole; then `seadragon restart ollama` lets it look again."
)
UNSAID = "it has not said yet whether it found a GPU"
NOT_FOUND = (
    "No ollama was found on the PATH, in /Applications, with Homebrew, or built by `make setup`: install it, or say "
    "where it is with server.ollama.binary. It is started as soon as it is there."
)


async def _gpu_lost(answered: ProbeResult, runs: Runs) -> GpuLost:
    program, version = runs.note.get("program"), answered.facts["version"]
    lacks = await asyncio.to_thread(whole.missing, Path(str(program)), str(version)) if program else ()
    return GpuLost(INCOMPLETE if whole.SERVER in lacks else GPU_LOST)


def _culprit() -> str:
    """Whoever is known to stop other people's Ollamas: the Mac app does when it finds its port taken."""
    for process in psutil.process_iter(["pid", "exe", "cmdline"]):
        if "Ollama.app/" in " ".join([process.info["exe"] or "", *(process.info["cmdline"] or [])]):
            return f"Ollama.app is running (pid {process.pid}) and stops other Ollamas: quit it and its login item."
    return "Ollama.app does that to other Ollamas, and so does `killall ollama`: find out who does it here."
