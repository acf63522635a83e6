"""Compiled callbacks: symbols of their own, compiled once."""

import threading

from tests.kernels.simd.test_llvm import adder
from tests.kernels_api import options


def test_callback_has_a_symbol_of_its_own():
    ref, comp = adder(), adder()
    assert ref._wrapper_name != comp._wrapper_name


def test_compiled_once_compiles_once_for_threads_that_ask_at_once():
    build = options.compiled_once(lambda key: object())
    start, found = threading.Barrier(4), []

    def ask():
        start.wait()
        found.append(build("key"))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(map(id, found))) == 1
