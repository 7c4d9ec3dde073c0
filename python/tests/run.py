#!/usr/bin/env python3
"""Runs test modules of this folder and speaks TAP: run.py MODULE..."""
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]  # the tests, the package


class Tap(unittest.TestResult):
    def say(self, verdict, test, why=''):
        print(f'{verdict} {self.testsRun} - {test.id()}', flush=True)
        for line in why.splitlines():
            print('#', line, flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.say('ok', test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print(f'ok {self.testsRun} - {test.id()} # SKIP {reason}', flush=True)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.say('not ok', test, self.failures[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:  # of a test with any, addSuccess is not called
            self.say('not ok', subtest, (self.failures + self.errors)[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        if not isinstance(test, unittest.TestCase):  # of a class: it never began
            self.testsRun += 1
        self.say('not ok', test, self.errors[-1][1])


def main():
    suite = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:])
    result = Tap()
    suite.run(result)
    print(f'1..{result.testsRun}')
    return 0 if result.wasSuccessful() else 1


if __name__ == '__main__':
    sys.exit(main())
