"""Keeps N connections to each port until it is ended, each opened again as soon as it is closed:
silent ones, or ones that begin a handshake and say no more.

  squatters.py silent|begun N PORT...
"""
import resource
import selectors
import socket
import sys

WORDS = {'silent': b'', 'begun': b'\x16\x03\x01\x01'}


class Squatters:
    def __init__(self, word):
        self.word, self.all = word, selectors.DefaultSelector()

    def open(self, port):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(('127.0.0.1', port))
        self.all.register(s, selectors.EVENT_READ | (selectors.EVENT_WRITE if self.word else 0), port)

    def again(self, key):
        self.all.unregister(key.fileobj)
        key.fileobj.close()
        self.open(key.data)

    def turn(self):
        for key, events in self.all.select(0.1):
            try:
                if events & selectors.EVENT_WRITE:
                    key.fileobj.send(self.word)
                    self.all.modify(key.fileobj, selectors.EVENT_READ, key.data)
                elif not key.fileobj.recv(4096):
                    self.again(key)
            except BlockingIOError:
                pass
            except OSError:
                self.again(key)


def main():
    kind, n, ports = sys.argv[1], int(sys.argv[2]), [int(p) for p in sys.argv[3:]]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    n = min(n, (hard - 64) // len(ports))
    squatters = Squatters(WORDS[kind])
    for port in ports:
        for _ in range(n):
            squatters.open(port)
    print('on', flush=True)
    while True:
        squatters.turn()


main()
