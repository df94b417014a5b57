"""The process spoken to directly, line by line, as a script in another language would."""

import json
import subprocess
import time

import pytest
from fuzzing import changed, fuzzed, lines
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def process(job_command, library_environment):
    with subprocess.Popen(
        job_command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        bufsize=1,
        env=library_environment,
    ) as popen:
        yield popen
        popen.kill()


def say(process, **message):
    process.stdin.write(json.dumps(message) + "\n")


def hear(process) -> dict:
    return json.loads(process.stdout.readline())


def hear_end(process, job_id) -> dict:
    while (answer := hear(process))["event"] == "progress" or answer["id"] != job_id:
        pass
    return answer


def test_stdout_carries_nothing_but_the_protocol(job_command, library_environment):
    lines = '{"op": "reconstruct", "id": "a", "request": {"do": "say", "say": "hello"}}\n'
    done = subprocess.run(
        job_command, input=lines, capture_output=True, text=True, env=library_environment, timeout=30
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [a["event"] for a in answers] == ["progress", "done"]
    assert answers[1]["result"]["said"] == "hello"
    assert "noise on stdout" in done.stderr and "noise of a child" in done.stderr
    assert done.returncode == 0


def test_requests_are_done_in_order_and_all_before_the_end_of_stdin_ends_it(job_command, library_environment):
    request = {"do": "count", "steps": 2, "each_s": 0.05}
    lines = "".join(
        json.dumps({"op": "reconstruct", "id": name, "request": request}) + "\n" for name in "cab"
    )
    done = subprocess.run(
        job_command, input=lines, capture_output=True, text=True, env=library_environment, timeout=30
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [a["id"] for a in answers if a["event"] == "done"] == list("cab")
    first_of = {name: next(n for n, a in enumerate(answers) if a["id"] == name) for name in "cab"}
    assert first_of["a"] > next(n for n, a in enumerate(answers) if a == {**a, "id": "c", "event": "done"})


def test_lines_that_nobody_writes_get_one_answer_each_and_end_nothing(job_command, library_environment):
    """JSON of any kind, and what is none, by hypothesis; then a request that is answered as ever."""
    leaf = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
    names = st.text(max_size=4)
    value = st.recursive(
        leaf, lambda one: st.lists(one, max_size=3) | st.dictionaries(names, one, max_size=3)
    )
    known = st.sampled_from(["reconstruct", "cancel", "ping", "paint", "", "Shutdown"])
    message = st.fixed_dictionaries({"op": known | value}, optional={"id": value, "request": value})
    valid = b'{"op": "reconstruct", "id": "a", "request": {"do": "bug"}}'
    changed_ones = changed([valid], [b"{", b'"', b"\\ud800"])
    said = [b"[" * 100_000, b'{"op": ' + b'{"a":' * 50_000]
    said += [b"\xff\xfe\x00", b'{"op": ["ping"]}', b"9" * 9999]

    @fuzzed
    @given(st.one_of(message.map(lambda one: json.dumps(one).encode()), changed_ones, st.binary(max_size=60)))
    def collect(line):
        if b"shutdown" not in line:
            said.append(line.replace(b"\n", b" ").replace(b"\r", b" "))

    collect()
    last = b'{"op": "reconstruct", "id": "the last", "request": {"do": "say", "say": "hello"}}'
    done = subprocess.run(
        job_command,
        input=b"\n".join([*said, last, b""]),
        capture_output=True,
        env=library_environment,
        timeout=60,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and answers[-1]["result"]["said"] == "hello", done.stderr[-800:]
    refused = [answer for answer in answers if answer["event"] == "error" and answer["kind"] == "input"]
    assert len(refused) >= 5 and all(len(answer["message"].splitlines()) == 1 for answer in refused)


def test_changed_requests_are_answered_in_one_line():
    """Of all operations, up to their data models."""
    target = lines()
    for kind in (b"[2, 5]", b'"sl\\ud800ice"'):
        target.check(
            b'{"op": "reconstruct", "id": "a", "request": {"output": "o", "contexts": [{"kind": %s}]}}' % kind
        )
    fuzzed(given(changed(target.valid, target.words))(target.check))()


def test_progress_has_a_step_a_fraction_and_the_remaining_time(process):
    say(process, op="reconstruct", id="a", request={"do": "count", "steps": 10, "each_s": 0.05})
    events = []
    while (answer := hear(process))["event"] == "progress":
        events.append(answer)
    assert [e["step"] for e in events[1:]] == [f"step {n}" for n in range(10)]
    assert [e["fraction"] for e in events[1:]] == [n / 10 for n in range(10)]
    assert events[1]["remaining_s"] is None
    assert 0.2 < events[6]["remaining_s"] < 0.5


def test_ping_is_answered_during_a_job(process):
    say(process, op="reconstruct", id="a", request={"do": "deaf"})
    assert hear(process)["event"] == "progress"
    say(process, op="ping", id="p")
    assert hear(process) == {"id": "p", "event": "pong", "pid": process.pid}


def test_cancel_stops_the_running_job_and_a_waiting_one(process):
    for name in ("running", "waiting", "last"):
        say(
            process,
            op="reconstruct",
            id=name,
            request={"do": "count", "steps": 1000 if name == "running" else 1, "each_s": 0.02},
        )
    assert hear(process)["id"] == "running"
    start = time.monotonic()
    say(process, op="cancel", id="waiting")
    waiting = hear_end(process, "waiting")
    say(process, op="cancel", id="running")
    running = hear_end(process, "running")
    assert time.monotonic() - start < 1.0
    assert (waiting["kind"], running["kind"]) == ("cancelled", "cancelled")
    assert hear_end(process, "last")["event"] == "done"


@pytest.mark.parametrize(
    ("do", "kind", "message"),
    [("input", "input", "context: no such file."), ("bug", "internal", "KeyError: 'pose'")],
)
def test_an_error_has_a_kind_one_line_and_a_log(process, do, kind, message):
    say(process, op="reconstruct", id="a", request={"do": do})
    answer = hear_end(process, "a")
    assert (answer["event"], answer["kind"], answer["message"]) == ("error", kind, message)
    assert "Traceback" in answer["log"]
    say(process, op="reconstruct", id="b", request={"do": "say"})
    assert hear_end(process, "b")["event"] == "done"


def test_lack_of_memory_says_what_to_do(process):
    say(process, op="reconstruct", id="a", request={"do": "memory"})
    answer = hear_end(process, "a")
    assert answer["kind"] == "memory" and "coarser" in answer["message"]


BAD_LINES = [
    "nonsense",
    "[1]",
    '{"no": "op"}',
    '{"op": "fly", "id": "x"}',
    '{"op": "reconstruct", "id": "x", "request": 3}',
]


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_line_that_is_no_request_is_answered_and_harms_nothing(process, line):
    process.stdin.write(line + "\n")
    answer = hear(process)
    assert (answer["event"], answer["kind"]) == ("error", "input")
    say(process, op="reconstruct", id="b", request={"do": "say"})
    assert hear_end(process, "b")["event"] == "done"


def test_an_id_in_use_is_refused(process):
    for _ in range(2):
        say(process, op="reconstruct", id="a", request={"do": "deaf"})
    answers = [hear(process), hear(process)]
    assert {a["event"] for a in answers} == {"progress", "error"}


def test_shutdown_ends_it_even_during_a_job(process):
    say(process, op="reconstruct", id="a", request={"do": "deaf"})
    assert hear(process)["event"] == "progress"
    say(process, op="shutdown")
    assert process.wait(1.0) == 0
