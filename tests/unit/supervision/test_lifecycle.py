from __future__ import annotations

import pytest

from controller.supervision import moves
from controller.supervision.lifecycle import Lifecycle, Phase
from controller.supervision.moves import ChildLimits, Diagnosis, ExitKind, Obstacle
from controller.supervision.spec import ChildState
from tests.fakes.world import CRASH, World, begun

MISSING = Obstacle(
    ChildState.MISCONFIGURED, "There is no ollama at /opt/ollama: install it or set server.ollama.binary."
)
TAKEN = Obstacle(ChildState.CONFLICT, "Port 11434 belongs to ollama, pid 7, of ann: quit it or choose another port.")
OUTSIDE = Diagnosis(ExitKind.OUTSIDE, "was ended by signal 15 (TERM)", "Ollama.app is running: quit it.")
FAULT = Diagnosis(ExitKind.FAULT, "left with exit code 255: the token is not valid")
NETWORK = Diagnosis(ExitKind.NETWORK, "found no network")


def said(world: World, level: str) -> list[str]:
    return [each.text for each in world.said if each.level == level]


def test_a_wanted_child_is_looked_for_started_probed_and_ready() -> None:
    world = begun()
    assert (world.life.state, world.life.verdict) == (ChildState.READY, "ready")
    assert world.states == [ChildState.STARTING, ChildState.READY]
    assert len(world.spawns) == 1


def test_what_a_former_controller_left_is_adopted_and_not_started_again() -> None:
    life = Lifecycle()
    assert life.on(moves.Begin(), 0.0) == [moves.Adopt()]
    effects = life.on(moves.Spawned(adopted=True, age=3600.0), 0.1)
    assert moves.Probe() in effects
    assert not any(isinstance(each, moves.Spawn | moves.Look) for each in effects)


def test_what_was_adopted_with_an_old_spec_is_stopped_and_started_anew() -> None:
    life = Lifecycle()
    life.on(moves.Begin(), 0.0)
    assert moves.Terminate(10.0) in life.on(moves.Spawned(adopted=True, stale=True), 0.1)
    assert life.on(moves.Exited(CRASH), 0.2) == [moves.Look()]
    assert life.state is ChildState.STARTING


def test_an_adopted_child_that_does_not_answer_is_killed_after_its_misses_not_after_a_whole_start() -> None:
    life = Lifecycle()
    life.on(moves.Begin(), 0.0)
    life.on(moves.Spawned(adopted=True, age=3600.0), 0.1)
    for n in (1.0, 2.0):
        assert moves.Terminate(0.0) not in life.on(moves.Silent("no answer"), n)
        life.on(moves.Tick(), n + 1)
    assert moves.Terminate(0.0) in life.on(moves.Silent("no answer"), 3.0)


def test_the_first_restart_after_readiness_is_immediate() -> None:
    world = begun()
    world.feed(moves.Exited(CRASH))
    assert world.spawns == [1000.0, 1000.0]
    assert world.life.state is ChildState.READY


def test_a_crash_loop_at_start_costs_at_most_twelve_starts_in_ten_minutes_and_is_told() -> None:
    for luck in (0.0, 0.5, 1.0):
        life = Lifecycle(luck=lambda luck=luck: luck)  # type: ignore[misc]  # a default binds the loop's value
        world = begun(life, dies_after=0.0, probe=moves.Silent("nobody listens"))
        world.play(600)
        assert 5 < len(world.spawns) <= 12
        assert world.life.verdict == "down"
        assert any("so often" in text for text in said(world, "error"))


def test_a_crash_loop_heals_by_itself_within_five_jittered_minutes() -> None:
    world = begun(dies_after=0.0, probe=moves.Silent("nobody listens"))
    world.play(1200)
    world.dies_after, world.probe = None, moves.Answered()
    world.play(375)
    assert world.life.state is ChildState.READY


def test_start_by_a_person_does_not_wait_for_an_open_breaker() -> None:
    world = begun(dies_after=0.0, probe=moves.Silent("nobody listens"))
    world.play(300)
    assert world.life.state is ChildState.DEGRADED
    world.dies_after, world.probe = None, moves.Answered()
    world.feed(moves.Start())
    assert (world.life.state, world.spawns[-1]) == (ChildState.READY, world.now)


def test_crashes_two_seconds_after_readiness_cost_at_most_twenty_starts_in_ten_minutes() -> None:
    for luck in (0.0, 0.5, 1.0):
        life = Lifecycle(luck=lambda luck=luck: luck)  # type: ignore[misc]  # a default binds the loop's value
        world = begun(life, dies_after=2.0)
        world.play(600)
        assert 10 <= len(world.spawns) <= 20


def test_while_the_breaker_is_open_nobody_is_told_to_wait_even_during_a_try() -> None:
    world = begun(dies_after=5.0, probe=moves.Silent("nobody listens"))
    world.play(120)
    while world.life.state is not ChildState.STARTING:
        world.play(1.0)
    assert world.life.verdict == "down"


def test_a_missing_program_is_told_once_never_started_and_started_soon_after_it_appears() -> None:
    world = begun(problem=MISSING)
    world.play(3600)
    assert (world.states, world.life.reason) == ([ChildState.STARTING, MISSING.state], MISSING.words)
    assert world.life.verdict == "down"
    assert (world.spawns, said(world, "error")) == ([], [MISSING.words])
    world.problem = None
    world.play(2.0)
    assert world.states[-1] is ChildState.READY


def test_an_exit_that_only_a_person_can_cure_costs_one_start_until_something_changes() -> None:
    world = begun(dies_after=0.5, diagnosis=FAULT, probe=moves.Silent("nobody listens"))
    world.play(3600)
    assert len(world.spawns) == 1
    assert world.life.state is ChildState.MISCONFIGURED
    assert "token is not valid" in world.life.reason
    world.evidence, world.dies_after, world.probe = "the token file was written", None, moves.Answered()
    world.play(2.0)
    assert world.states[-1] is ChildState.READY


def test_a_refused_program_that_was_away_for_a_while_gets_another_try_though_it_looks_the_same() -> None:
    world = begun(dies_after=0.5, diagnosis=FAULT, probe=moves.Silent("nobody listens"))
    world.play(10)
    world.problem = MISSING
    world.play(10)
    assert world.life.reason == MISSING.words
    world.problem, world.dies_after, world.probe = None, None, moves.Answered()
    world.play(2)
    assert world.life.state is ChildState.READY


def test_a_program_of_the_wrong_kind_costs_one_attempt_until_it_is_replaced() -> None:
    life = Lifecycle()
    life.on(moves.Begin(), 0.0)
    life.on(moves.NothingToAdopt(), 0.0)
    assert moves.Spawn() in life.on(moves.Looked(None, evidence="arm64"), 0.0)
    life.on(moves.StartFailed("It is not a program for this machine.", "fault"), 0.0)
    for n in range(1, 50):
        life.on(moves.Tick(), float(n))
        assert moves.Spawn() not in life.on(moves.Looked(None, evidence="arm64"), float(n))
    life.on(moves.Tick(), 50.0)
    assert moves.Spawn() in life.on(moves.Looked(None, evidence="x86_64"), 50.0)


@pytest.mark.parametrize("count", [1, 100])
def test_a_probe_that_could_not_be_made_is_no_missed_one(count: int) -> None:
    world = begun(probe=moves.Answered())
    world.probe = moves.NotAsked()
    world.play(count * world.life.limits.probe_every)
    assert (world.life.state, len(world.spawns)) == (ChildState.READY, 1)
    world.probe = moves.Silent("timed out")
    world.play(10)
    assert len(world.spawns) == 2  # it goes on being asked


def test_a_machine_out_of_processes_is_no_failure_of_the_child_and_is_tried_again_within_five_seconds() -> None:
    life = Lifecycle()
    life.on(moves.Begin(), 0.0)
    life.on(moves.NothingToAdopt(), 0.0)
    now = 0.0
    for _ in range(100):
        life.on(moves.Looked(None), now)
        effects = life.on(moves.StartFailed("No process is left.", "exhausted"), now)
        assert life.state is ChildState.BACKOFF
        wake = next(each for each in effects if isinstance(each, moves.Wake))
        assert wake.at - now <= 5
        now = wake.at
        assert life.on(moves.Tick(), now) == [moves.Look()]


def test_a_taken_port_is_told_once_and_used_soon_after_it_is_free() -> None:
    world = begun(problem=TAKEN)
    world.play(600)
    assert (world.life.state, world.spawns, said(world, "error")) == (ChildState.CONFLICT, [], [TAKEN.words])
    world.problem = None
    world.play(5.0)
    assert world.life.state is ChildState.READY


def test_a_start_that_finds_its_port_taken_by_someone_no_look_can_see_backs_off() -> None:
    taken = Diagnosis(ExitKind.TAKEN, "found its port taken")
    world = begun(dies_after=0.1, diagnosis=taken, probe=moves.Silent("nobody listens"))
    world.play(600)
    assert world.life.state is ChildState.CONFLICT
    assert len(world.spawns) <= 12


def test_a_stranger_on_the_port_gets_nothing_and_our_own_child_is_stopped() -> None:
    world = begun(probe=moves.Stranger("Port 11434 is answered by another program."))
    assert (world.life.state, world.running) == (ChildState.CONFLICT, False)
    world.play(600)
    assert len(world.spawns) <= 12
    world.probe = moves.Answered()
    world.play(375)
    assert world.life.state is ChildState.READY


def test_one_whose_disk_goes_is_stopped_told_once_and_started_when_it_is_there_again() -> None:
    world = begun()
    world.probe = moves.Bereft("Its disk is gone.")
    world.problem = moves.Obstacle(ChildState.WAITING, "Its disk is gone.")
    world.play(600)
    assert (world.life.state, world.life.verdict, world.running) == (ChildState.WAITING, "down", False)
    assert (world.life.reason, len(world.spawns)) == ("Its disk is gone.", 1)
    assert [each.text for each in world.said if "disk" in each.text] == ["Its disk is gone."]
    world.problem, world.probe = None, moves.Answered()
    world.play(5)
    assert world.life.state is ChildState.READY


def test_a_stop_from_outside_restarts_it_and_a_second_within_a_minute_names_the_culprit() -> None:
    world = begun()
    world.feed(moves.Exited(OUTSIDE))
    assert world.life.state is ChildState.READY
    world.play(30)
    world.feed(moves.Exited(OUTSIDE))
    assert (world.life.state, world.life.verdict) == (ChildState.CONFLICT, "down")
    assert "Ollama.app" in world.life.reason
    world.play(11)
    assert world.life.state is ChildState.READY


def test_two_stops_from_outside_an_hour_apart_are_no_conflict() -> None:
    world = begun()
    world.feed(moves.Exited(OUTSIDE))
    world.play(3600)
    world.feed(moves.Exited(OUTSIDE))
    assert ChildState.CONFLICT not in world.states


def test_somebody_who_goes_on_stopping_it_makes_the_pauses_longer() -> None:
    world = begun(dies_after=20.0, diagnosis=OUTSIDE)
    world.play(3600)
    gaps = [later - earlier for earlier, later in zip(world.spawns, world.spawns[1:], strict=False)]
    assert gaps[-1] > 300
    assert len(world.spawns) < 25


def test_missed_probes_end_in_a_group_kill_and_an_immediate_restart() -> None:
    world = begun()
    world.play(10)
    world.probe = moves.Silent("timed out")
    world.play(2 * 3)
    assert ChildState.UNRESPONSIVE in world.states
    world.probe = moves.Answered()
    world.play(1)
    assert (len(world.spawns), world.life.state) == (2, ChildState.READY)


def test_fewer_misses_than_the_limit_change_nothing() -> None:
    world = begun()
    world.play(10)
    world.probe = moves.Silent("timed out")
    world.play(2 * 2)
    world.probe = moves.Answered()
    world.play(60)
    assert (len(world.spawns), world.states) == (1, [ChildState.STARTING, ChildState.READY])


def test_new_limits_are_believed_at_once() -> None:
    world = begun()
    world.feed(moves.Tuned(ChildLimits(probe_misses=1, probe_every=0.5)))
    world.probe = moves.Silent("timed out")
    world.play(0.5)
    assert len(world.spawns) == 2


def test_one_that_never_answers_gets_its_whole_startup_time_and_no_more() -> None:
    world = begun(probe=moves.Silent("nobody listens"))
    world.play(119)
    assert (len(world.spawns), world.life.state) == (1, ChildState.STARTING)
    world.play(4)
    assert len(world.spawns) == 2


def test_probes_after_a_start_come_fast_at_first_and_then_slower() -> None:
    world = begun(probe=moves.Silent("nobody listens"))
    moments = []
    while world.wake_at is not None and world.wake_at < 1060.0:
        moments.append(world.wake_at)
        world.play(world.wake_at - world.now)
    gaps = [later - earlier for earlier, later in zip(moments, moments[1:], strict=False)]
    assert gaps[0] == pytest.approx(0.025)
    assert max(gaps) == pytest.approx(1.0)
    assert 75 < sum(1 for at in moments if at < 1002.0) < 85


def test_a_process_that_is_stopped_by_a_signal_is_killed_at_the_second_glance() -> None:
    world = begun()
    world.feed(moves.Glanced(frozen=True))
    assert world.life.state is ChildState.UNRESPONSIVE
    assert len(world.spawns) == 1
    world.feed(moves.Glanced(frozen=True))
    assert len(world.spawns) == 2
    assert any("SIGSTOP" in text for text in said(world, "error"))


def test_a_process_that_goes_on_after_one_glance_is_left_alone() -> None:
    world = begun()
    world.feed(moves.Glanced(frozen=True))
    world.feed(moves.Glanced(frozen=False))
    world.play(60)
    assert (len(world.spawns), world.life.state) == (1, ChildState.READY)


def test_after_a_sleep_there_is_one_event_and_what_was_missed_does_not_count() -> None:
    world = begun()
    world.play(10)
    world.probe = moves.Silent("timed out")
    world.play(4)
    world.now += 8 * 3600
    world.feed(moves.Resumed(gap=8 * 3600))
    world.probe = moves.Answered()
    world.play(60)
    assert (len(world.spawns), world.life.state) == (1, ChildState.READY)
    assert len([text for text in said(world, "info") if "slept" in text]) == 1


def test_a_start_that_was_slept_through_keeps_the_rest_of_its_time() -> None:
    world = begun(probe=moves.Silent("nobody listens"))
    world.play(60)
    world.now += 3600
    world.feed(moves.Resumed(gap=3600))
    world.play(50)
    assert len(world.spawns) == 1


# --- without its GPU --------------------------------------------------------------------------------------------------


def test_one_that_lost_the_gpu_is_down_at_its_first_answer_and_left_running_until_it_may_be_used() -> None:
    world = begun(probe=moves.GpuLost("It found no GPU."))
    world.play(14)
    assert (world.life.state, world.life.verdict, world.life.reason) == (
        ChildState.GPU_LOST,
        "down",
        "It found no GPU.",
    )
    assert world.states == [ChildState.STARTING, ChildState.GPU_LOST]
    assert (len(world.spawns), said(world, "error")) == (1, ["It found no GPU. It looks again in 15 s."])
    world.probe = moves.Answered()
    world.play(3)
    assert (world.life.state, world.life.verdict, len(world.spawns)) == (ChildState.READY, "ready", 1)


def test_one_that_lost_the_gpu_looks_again_by_itself_ever_more_rarely_and_each_time_is_told() -> None:
    world = begun(probe=moves.GpuLost("It found no GPU."))
    world.play(86400)
    pauses = [round(later - earlier) for earlier, later in zip(world.spawns, world.spawns[1:], strict=False)]
    assert pauses[:8] == [15, 30, 60, 120, 240, 480, 900, 900]
    assert len(world.spawns) < 110
    assert said(world, "info").count("It is started anew, to look for its GPU again.") == len(pauses)
    assert world.life.verdict == "down"
    world.probe = moves.Answered()
    world.play(900)
    assert world.life.state is ChildState.READY


def test_a_gpu_that_is_a_minute_late_after_a_boot_is_found() -> None:
    world = begun(probe=moves.GpuLost("It found no GPU."))
    world.play(60)
    world.probe = moves.Answered()
    while world.life.state is not ChildState.READY:
        world.play(1)
    assert world.now - world.spawns[0] < 120


def test_a_gpu_that_was_proved_to_be_there_and_gets_lost_is_looked_for_soon() -> None:
    world = begun(probe=moves.GpuLost("It found no GPU."))
    world.play(3600)
    world.probe = moves.Answered()
    world.play(1000)
    world.probe = moves.GpuLost("It found no GPU.")
    world.play(4)
    assert said(world, "error")[-1].endswith("It looks again in 15 s.")


def test_one_that_lost_the_gpu_and_then_hangs_is_started_again() -> None:
    world = begun(probe=moves.GpuLost("It found no GPU."))
    world.probe = moves.Silent("timed out")
    world.play(20)
    assert len(world.spawns) == 2
    assert "does not answer any more" in said(world, "error")[-1]


# --- the tunnel -------------------------------------------------------------------------------------------------------

NOT_CONNECTED = moves.Waiting("It runs, and has no connection to Cloudflare.")


def test_one_that_lives_without_a_connection_is_offline_and_left_alone_for_five_minutes() -> None:
    world = begun(probe=NOT_CONNECTED)
    world.play(20)
    assert world.life.state is ChildState.OFFLINE
    world.play(275)
    assert len(world.spawns) == 1
    world.probe = moves.Answered()
    world.play(3)
    assert (world.life.state, len(world.spawns)) == (ChildState.READY, 1)


def test_with_the_network_up_it_is_started_afresh_at_most_once_in_a_quarter_of_an_hour() -> None:
    world = begun(probe=NOT_CONNECTED)
    world.play(310)
    assert len(world.spawns) == 2
    world.play(3600)
    assert 4 <= len(world.spawns) <= 6
    gaps = [later - earlier for earlier, later in zip(world.spawns[1:], world.spawns[2:], strict=False)]
    assert min(gaps) >= 900


def test_while_the_network_is_away_it_is_never_started_afresh() -> None:
    world = begun(probe=NOT_CONNECTED, network=False)
    world.play(2 * 3600)
    assert len(world.spawns) == 1


def test_exits_for_want_of_a_network_are_retried_calmly_and_never_open_the_breaker() -> None:
    world = begun(dies_after=0.5, diagnosis=NETWORK, probe=moves.Silent("nobody listens"))
    world.play(1800)
    assert ChildState.DEGRADED not in world.states
    assert ChildState.OFFLINE in world.states
    assert 25 < len(world.spawns) < 45
    world.dies_after, world.probe = None, moves.Answered()
    world.play(61)
    assert world.life.state is ChildState.READY


# --- one that is not ours ---------------------------------------------------------------------------------------------


def test_an_ollama_elsewhere_is_only_asked_and_never_stopped() -> None:
    world = begun(remote=True)
    world.probe = moves.Silent("no route")
    world.play(600)
    assert world.life.verdict == "down"
    assert len(said(world, "warning")) == 1
    world.probe = moves.Answered()
    world.play(3)
    assert world.life.state is ChildState.READY
    assert world.states == [ChildState.STARTING, ChildState.READY, ChildState.OFFLINE, ChildState.READY]


def test_one_that_is_not_ours_is_let_go_not_ended() -> None:
    life = Lifecycle()
    life.on(moves.Begin(), 0.0)
    life.on(moves.NothingToAdopt(), 0.0)
    life.on(moves.Looked(None, remote=True), 0.0)
    life.on(moves.Spawned(remote=True), 0.0)
    assert life.on(moves.Stop(), 1.0) == [moves.LetGo()]
    assert life.state is ChildState.STOPPED


# --- orders -----------------------------------------------------------------------------------------------------------


def test_a_child_that_was_stopped_stays_stopped() -> None:
    world = begun()
    world.feed(moves.Stop())
    assert (world.life.state, world.running, world.life.verdict) == (ChildState.STOPPED, False, "down")
    assert said(world, "info")[-1] == "Stopped."
    world.play(3600)
    assert len(world.spawns) == 1


def test_who_meets_a_stopped_child_is_told_how_to_start_it() -> None:
    world = begun(Lifecycle(name="ollama"))
    world.feed(moves.Stop())
    assert world.life.reason == "It was told to stop. `seadragon start ollama` starts it again."


def test_a_changed_recipe_starts_nothing_that_was_stopped() -> None:
    world = begun()
    world.feed(moves.Stop())
    world.feed(moves.Changed("Its port changed."))
    assert (world.life.state, len(world.spawns)) == (ChildState.STOPPED, 1)


def test_a_changed_recipe_restarts_what_runs_without_counting_a_failure() -> None:
    world = begun()
    world.feed(moves.Changed("Its port changed."))
    assert (world.life.state, len(world.spawns)) == (ChildState.READY, 2)
    world.feed(moves.Exited(CRASH))
    assert world.spawns[-1] == world.now


def test_a_stop_during_a_start_stops_what_has_just_started() -> None:
    life = Lifecycle()
    life.on(moves.Begin(), 0.0)
    life.on(moves.NothingToAdopt(), 0.0)
    life.on(moves.Looked(None), 0.0)
    life.on(moves.Stop(), 0.1)
    assert life.on(moves.Spawned(), 0.2) == [moves.Terminate(10.0)]
    life.on(moves.Exited(CRASH), 0.3)
    assert (life.state, life.phase) == (ChildState.STOPPED, Phase.ABSENT)


def test_a_start_while_a_hung_one_is_being_killed_does_not_wait_for_a_pause() -> None:
    life = Lifecycle(ChildLimits(startup=1.0, probe_misses=1))
    life.on(moves.Begin(), 0.0)
    life.on(moves.NothingToAdopt(), 0.0)
    life.on(moves.Looked(None), 0.0)
    life.on(moves.Spawned(), 0.0)
    assert moves.Terminate(0.0) in life.on(moves.Silent("no answer"), 2.0)
    life.on(moves.Start(), 2.1)
    assert life.on(moves.Exited(CRASH), 2.2) == [moves.Look()]


def test_a_restart_during_a_start_ends_with_the_new_recipe_running() -> None:
    life = Lifecycle()
    life.on(moves.Begin(), 0.0)
    life.on(moves.NothingToAdopt(), 0.0)
    life.on(moves.Looked(None), 0.0)
    life.on(moves.Restart("Told to."), 0.1)
    assert moves.Terminate(10.0) in life.on(moves.Spawned(), 0.2)
    assert life.on(moves.Exited(CRASH), 0.3) == [moves.Look()]


@pytest.mark.parametrize(
    "ends",
    [moves.Exited(CRASH), moves.StartFailed("It is no program.", "fault"), moves.StartFailed("It failed.", "other")],
)
def test_a_start_of_another_program_that_fails_says_how_to_go_back(ends: moves.Event) -> None:
    life = Lifecycle()
    life.on(moves.Begin(), 0.0)
    life.on(moves.NothingToAdopt(), 0.0)
    life.on(moves.Looked(None, back="Before it was 0.31."), 0.0)
    if isinstance(ends, moves.Exited):
        life.on(moves.Spawned(), 0.0)
    effects = life.on(ends, 1.0)
    assert life.reason.endswith("Before it was 0.31.")
    assert any(isinstance(each, moves.Tell) and "Before it was 0.31." in each.text for each in effects)


def test_one_that_has_been_ready_is_no_wrong_program() -> None:
    world = begun()
    world.life._back = "Before it was 0.31."
    world.dies_after = 1.0
    world.play(1.0)
    assert not any("Before it was" in text for text in said(world, "warning"))
