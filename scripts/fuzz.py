"""Files that were changed at random are read: right, or with a clear error, in little time and memory.

    python scripts/fuzz.py [TARGET …] [--seconds 600] [--first 0]

A finding is a crash of the process, more than 10 s of it, 1 GiB of memory more, another error than the documented ones,
a file written elsewhere, or code that is run. It is told with its number, from which it comes again (`--first`), and
what was read is kept in output/fuzz. Each target is read in a process of its own.
"""

import argparse
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from pathlib import Path

import numpy as np

CPU_SECONDS, WALL_SECONDS, MEMORY = 10, 120, 2**30
OUTPUT = Path("output/fuzz")
EVERY = 30  # seconds between two lines of progress
# What no file may bring a reader to: events of `sys.addaudithook`.
FORBIDDEN = {"os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "pickle.find_class"}
FORBIDDEN |= {"ctypes.dlopen", "socket.connect", "socket.getaddrinfo", "urllib.Request", "webbrowser.open"}
# Of those that change the disk, at which place of their arguments a path is, and the folder that it starts from.
CHANGING = {"os.remove": (0, 1), "os.rename": (1, 3), "os.mkdir": (0, 2), "os.rmdir": (0, 1), "os.link": (1, 3)}
CHANGING |= {"os.symlink": (1, 2), "os.chmod": (0, 2), "os.truncate": (0, 0)}


def changed(name, case, sound):
    """The files of a case: a set out of `sound`, {path: bytes}, of which one file was changed; and which it is."""
    from fuzz_changes import CHANGES, of_bytes, pick

    rng = np.random.default_rng([zlib.crc32(name.encode()), case])
    files = dict(pick(rng, sound))
    path = pick(rng, sorted(files))
    content, change = files[path], CHANGES.get(Path(path).suffix)
    if change and (by_field := rng.random()) < 0.7:
        content = change(rng, content)
    if not change or by_field > 0.6 or content == files[path]:
        others = pick(rng, sound)
        content = of_bytes(rng, content, others[pick(rng, sorted(others))])
    return files | {path: content}, path


class Watch:
    """Notes what a reader does that it must not, while it reads; it may write into the folders that are allowed."""

    def __init__(self, *allowed):
        self.allowed = tuple(map(str, allowed))
        self.active, self.found = False, []
        sys.addaudithook(self)

    def __call__(self, event, args):
        if not self.active:
            return
        if event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            self._check(event, args[0], -1)
        elif event in CHANGING:
            self._check(event, *(args[place] for place in CHANGING[event]))
        elif event in FORBIDDEN:
            self.found.append(f"{event} {args}")

    def _check(self, event, path, start):
        if not isinstance(path, int):
            start = os.readlink(f"/proc/self/fd/{start}") if isinstance(start, int) and start >= 0 else os.getcwd()
            name = os.path.normpath(os.path.join(start, os.fsdecode(path)))
            if not name.startswith(self.allowed) and name != os.devnull and "__pycache__" not in name:
                self.found.append(f"{event} {name}")


def outcome(target, folder, watch):
    """What comes of reading a folder: what is wrong with that, or "", and what it was."""
    watch.found.clear()
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, before[1]))
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)  # SIGPROF ends the process
    watch.active, wrong = True, ""
    try:
        target.read(folder)
        result = "read"
    except Exception as error:
        *_, last = traceback.extract_tb(error.__traceback__)
        result = f"{type(error).__name__} at {last.filename.rpartition('/')[2]}:{last.lineno}"
        if not isinstance(error, target.errors) or _out_of_memory(error):
            wrong = traceback.format_exc()
    finally:
        watch.active = False
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, before)
    return wrong or "\n".join(watch.found), result


def _out_of_memory(error):
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def work(asked, root):
    """In a process of its own: read the cases that are asked for, and tell what was changed and what came of it."""
    from fuzz_targets import TARGETS

    warnings.simplefilter("ignore")
    folder, temporary, sound = root / "case", root / "temporary", {}
    temporary.mkdir()
    tempfile.tempdir, watch = str(temporary), Watch(folder, temporary)
    while True:
        name, case = asked.recv()
        if name not in sound:
            sound[name] = [*_sound(TARGETS[name], root / name)]
        files, path = changed(name, case, sound[name])
        for inner, content in files.items():
            (folder / inner).parent.mkdir(parents=True, exist_ok=True)
            (folder / inner).write_bytes(content)
        asked.send(files[path])
        asked.send(outcome(TARGETS[name], folder, watch))
        shutil.rmtree(folder)


def _sound(target, folder):
    """Sets of files that are as they should be, {path: bytes}, and are read."""
    folder.mkdir()
    target.write(folder)
    for own in sorted(folder.iterdir()):
        yield {str(path.relative_to(own)): path.read_bytes() for path in own.rglob("*") if path.is_file()}
        target.read(own)


class Reader:
    """A process that reads cases, and another one after it where it comes to an end."""

    def __init__(self):
        self.start()

    def start(self):
        os.environ["MALLOC_ARENA_MAX"] = "2"  # an arena is 64 MiB that no reader asked for
        self.root = tempfile.TemporaryDirectory(prefix="vizlib-fuzz-", ignore_cleanup_errors=True)
        context = multiprocessing.get_context("spawn")
        self.asking, asked = context.Pipe()
        self.process = context.Process(target=work, args=(asked, Path(self.root.name)), daemon=True)
        self.process.start()
        asked.close()

    def read(self, name, case):
        """What came of a case: what is wrong, or "", what it was, and the content of the file that was changed."""
        content = b""
        try:
            self.asking.send((name, case))
            content = self._told()
            return *self._told(), content
        except (EOFError, ConnectionError):
            self.process.join(10)
            ended = f"the process ended with {self.process.exitcode}", "crash", content
        except TimeoutError:
            ended = f"more than {WALL_SECONDS} s", "hang", content
        self.close()
        self.start()
        return ended

    def _told(self):
        if not self.asking.poll(WALL_SECONDS):
            raise TimeoutError
        return self.asking.recv()

    def close(self):
        self.process.kill()
        self.process.join()
        self.root.cleanup()


def fuzz(reader, name, cases, seconds=float("inf")):
    """Read cases of a target, for so many seconds: {what came of them: times}, {what is wrong: the first case}."""
    results, findings, begun, told = Counter(), {}, time.monotonic(), 0
    for case in cases:
        wrong, result, content = reader.read(name, case)
        results[result] += 1
        if wrong and (wrong, result) not in findings:
            findings[wrong, result] = case
            OUTPUT.mkdir(parents=True, exist_ok=True)
            (OUTPUT / f"{name}-{case}").write_bytes(content)
            print(f"{name} {case}: {result}\n{wrong}", flush=True)
        if (spent := time.monotonic() - begun) > told + EVERY:
            told = spent
            print(f"{name}: {spent:.0f} s, {results.total()} cases, {len(findings)} findings", flush=True)
        if spent > seconds:
            break
    return results, findings


def main():
    from fuzz_targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", help=f"out of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--first", type=int, default=0)
    args = parser.parse_args()
    bad = False
    for name in args.targets or TARGETS:
        reader = Reader()
        results, findings = fuzz(reader, name, range(args.first, 10**9), args.seconds)
        reader.close()
        bad |= bool(findings)
        told = ", ".join(f"{result} {times}" for result, times in results.most_common(8))
        print(f"{name}: {results.total()} cases {results['read']} read, {len(results)} outcomes, "
              f"{len(findings)} findings ({told})", flush=True)  # fmt: skip
    sys.exit(bad)


if __name__ == "__main__":
    main()
