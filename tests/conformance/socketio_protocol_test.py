"""Every rule of Engine.IO v4 and Socket.IO v5 that a client can see, against zn-server --conformance.

Written from the protocols' texts (https://socket.io/docs/v4/engine-io-protocol/ and .../socket-io-protocol/). The client here is
HTTP by hand and the websocket-client package, which knows neither protocol.
"""

import json
import threading
import time
import unittest

import websocket
from support.zn import Client, Server, StoreCase

PING_INTERVAL, PING_TIMEOUT, MAX_PAYLOAD = 0.3, 0.2, 1_000_000


class ProtocolCase(StoreCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = Server(cls.store, "--conformance", "--create")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        super().tearDownClass()

    # HTTP by hand ---------------------------------------------------------------------------------
    def ask(self, method, query, body=None, path=None, headers=None):
        """(status, text) on a connection of its own."""
        client = Client(self.server.port)
        try:
            reply = client.request(method, f"{path or self.path}?{query}", headers=headers or {}, body=body)
            return reply.status, reply.body.decode()
        finally:
            client.close()

    def open(self):
        status, text = self.ask("GET", "EIO=4&transport=polling")
        self.assertEqual(status, 200)
        self.assertEqual(text[0], "0")
        return json.loads(text[1:])["sid"]

    def poll(self, sid):
        return self.ask("GET", f"EIO=4&transport=polling&sid={sid}")

    def post(self, sid, body):
        return self.ask("POST", f"EIO=4&transport=polling&sid={sid}", body.encode())

    def poll_later(self, sid, results):
        thread = threading.Thread(target=lambda: results.append(self.poll(sid)))
        thread.start()
        time.sleep(0.05)
        return thread

    # WebSocket ------------------------------------------------------------------------------------
    def socket(self, query="EIO=4&transport=websocket", **options):
        ws = websocket.create_connection(f"ws://127.0.0.1:{self.server.port}{self.path}?{query}", timeout=3, **options)
        self.addCleanup(ws.shutdown)
        return ws

    def refused(self, query):
        with self.assertRaises((websocket.WebSocketBadStatusException, OSError)):
            self.socket(query)

    def closes(self, ws):
        """The server closes it, whatever it says before."""
        try:
            while True:
                if ws.recv_data()[0] == websocket.ABNF.OPCODE_CLOSE:
                    return
        except (websocket.WebSocketConnectionClosedException, ConnectionError):
            return

    def hear(self, ws):
        """The next message that is not a ping."""
        while True:
            message = ws.recv()
            if message != "2":
                return message


class EngineIo(ProtocolCase):
    path = "/engine.io/"

    def check_handshake(self, text, upgrades):
        self.assertEqual(text[0], "0")
        value = json.loads(text[1:])
        self.assertEqual(set(value), {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"})
        self.assertIsInstance(value["sid"], str)
        self.assertGreaterEqual(len(value["sid"]), 20)
        self.assertEqual(value["upgrades"], upgrades)
        self.assertEqual((value["pingInterval"], value["pingTimeout"], value["maxPayload"]), (300, 200, MAX_PAYLOAD))

    def test_handshake_polling(self):
        self.check_handshake(self.ask("GET", "EIO=4&transport=polling")[1], ["websocket"])

    def test_handshake_websocket(self):
        self.check_handshake(self.socket().recv(), [])

    def test_handshake_refusals(self):
        for query in ["transport=polling", "EIO=abc&transport=polling", "EIO=3&transport=polling", "EIO=4",
                      "EIO=4&transport=abc", "EIO=4&transport=polling&sid=unknown", "EIO=4&transport=websocket"]:
            self.assertEqual(self.ask("GET", query)[0], 400, query)
        for method in ["POST", "PUT", "DELETE"]:
            self.assertEqual(self.ask(method, "EIO=4&transport=polling", b"")[0], 400, method)
        for query in ["transport=websocket", "EIO=abc&transport=websocket", "EIO=4", "EIO=4&transport=abc",
                      "EIO=4&transport=websocket&sid=unknown"]:
            self.refused(query)

    def test_handshake_errors_have_codes(self):
        for query, code in [("EIO=4&transport=abc", 0), ("EIO=4&transport=polling&sid=x", 1), ("EIO=5&transport=polling", 5)]:
            self.assertEqual(json.loads(self.ask("GET", query)[1])["code"], code, query)
        self.assertEqual(json.loads(self.ask("POST", "EIO=4&transport=polling", b"")[1])["code"], 2)

    def test_polling_messages(self):
        sid = self.open()
        for payload in ["4hello", "4test1\x1e4test2\x1e4test3", "4hello\x1ebAQIDBA==", "4äöü€😀"]:
            self.assertEqual(self.post(sid, payload), (200, "ok"))
            self.assertEqual(self.poll(sid), (200, payload))

    def test_polls_wait_for_messages(self):
        sid, results = self.open(), []
        waiting = self.poll_later(sid, results)
        self.assertEqual(results, [])
        self.post(sid, "4late")
        waiting.join()
        self.assertEqual(results, [(200, "4late")])

    def test_payloads_hold_sixteen_packets(self):
        sid = self.open()
        self.assertEqual(self.post(sid, "\x1e".join(f"4{i}" for i in range(16)))[0], 200)
        self.assertEqual(self.post(sid, "\x1e".join(f"4{i}" for i in range(16, 20)))[0], 200)
        first, second = self.poll(sid)[1].split("\x1e"), self.poll(sid)[1].split("\x1e")
        self.assertEqual((len(first), len(second)), (16, 4))
        self.assertEqual(first + second, [f"4{i}" for i in range(20)])
        self.assertEqual(self.post(sid, "\x1e".join("4x" for _ in range(17)))[0], 400)

    def test_payload_size_limit(self):
        sid = self.open()
        self.assertEqual(self.post(sid, "4" + "x" * (MAX_PAYLOAD - 1))[0], 200)
        self.assertEqual(len(self.poll(sid)[1]), MAX_PAYLOAD)
        self.assertEqual(self.post(sid, "4" + "x" * MAX_PAYLOAD)[0], 413)
        self.assertEqual(self.poll(sid)[0], 400)
        ws = self.socket()
        ws.recv()
        ws.send("4" + "x" * MAX_PAYLOAD)
        self.closes(ws)

    def test_invalid_payload_ends_the_session(self):
        sid = self.open()
        self.assertEqual(self.post(sid, "abc")[0], 400)
        self.assertEqual(self.poll(sid)[0], 400)

    def test_two_polls_end_the_session(self):
        sid, results = self.open(), []
        waiting = self.poll_later(sid, results)
        self.assertEqual(self.poll(sid)[0], 400)
        waiting.join()
        self.assertEqual(results, [(200, "1")])
        self.assertEqual(self.poll(sid)[0], 400)

    def test_websocket_messages(self):
        ws = self.socket()
        ws.recv()
        ws.send("4hello")
        self.assertEqual(self.hear(ws), "4hello")
        ws.send_binary(b"\x01\x02\x03\x04")
        self.assertEqual(self.hear(ws), b"\x01\x02\x03\x04")
        long = "4" + "x" * 70_000
        ws.send(long)
        self.assertEqual(self.hear(ws), long)

    def test_websocket_invalid_packet(self):
        ws = self.socket()
        ws.recv()
        ws.send("abc")
        self.closes(ws)

    def test_permessage_deflate_is_declined(self):
        ws = self.socket(header=["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"])
        self.assertNotIn("sec-websocket-extensions", ws.getheaders())
        self.assertEqual(ws.recv()[0], "0")

    def test_heartbeat_polling(self):
        sid = self.open()
        for _ in range(3):
            start = time.monotonic()
            self.assertEqual(self.poll(sid), (200, "2"))
            self.assertLess(time.monotonic() - start, PING_INTERVAL + 0.15)
            self.assertEqual(self.post(sid, "3"), (200, "ok"))

    def test_heartbeat_websocket(self):
        ws = self.socket()
        ws.recv()
        for _ in range(3):
            start = time.monotonic()
            self.assertEqual(ws.recv(), "2")
            self.assertAlmostEqual(time.monotonic() - start, PING_INTERVAL, delta=0.15)
            ws.send("3")

    def test_no_pong_ends_the_session(self):
        sid = self.open()
        ws = self.socket()
        time.sleep(PING_INTERVAL + PING_TIMEOUT + 0.1)
        self.assertEqual(self.poll(sid)[0], 400)
        start = time.monotonic()
        self.closes(ws)
        self.assertLess(time.monotonic() - start, 0.2)

    def test_close_polling(self):
        sid, results = self.open(), []
        waiting = self.poll_later(sid, results)
        self.assertEqual(self.post(sid, "1"), (200, "ok"))
        waiting.join()
        self.assertEqual(results, [(200, "6")])
        self.assertEqual(self.poll(sid)[0], 400)

    def test_close_websocket(self):
        ws = self.socket()
        ws.recv()
        ws.send("1")
        self.closes(ws)

    def test_upgrade(self):
        sid = self.open()
        ws = self.socket(f"EIO=4&transport=websocket&sid={sid}")
        ws.send("2probe")
        self.assertEqual(ws.recv(), "3probe")
        self.assertEqual(self.poll(sid), (200, "6"))
        ws.send("5")
        ws.send("4hello")
        self.assertEqual(self.hear(ws), "4hello")
        self.assertEqual(self.poll(sid)[0], 400)
        self.assertEqual(self.post(sid, "4x")[0], 400)
        second = None
        try:
            second = self.socket(f"EIO=4&transport=websocket&sid={sid}")
        except (websocket.WebSocketException, OSError):
            pass
        if second:
            self.closes(second)
        ws.send("4still here")
        self.assertEqual(self.hear(ws), "4still here")

    def test_upgrade_releases_the_waiting_poll_and_loses_nothing(self):
        sid, results = self.open(), []
        waiting = self.poll_later(sid, results)
        ws = self.socket(f"EIO=4&transport=websocket&sid={sid}")
        ws.send("2probe")
        self.assertEqual(ws.recv(), "3probe")
        waiting.join()
        self.assertEqual(results, [(200, "6")])
        self.post(sid, "4queued while upgrading")
        ws.send("5")
        self.assertEqual(self.hear(ws), "4queued while upgrading")

    def test_origin_is_checked(self):
        status, _ = self.ask("GET", "EIO=4&transport=polling", headers={"Origin": "https://evil.example"})
        self.assertEqual(status, 403)
        with self.assertRaises(websocket.WebSocketBadStatusException):
            self.socket(origin="https://evil.example")


class SocketIo(ProtocolCase):
    path = "/socket.io/"

    def connect(self, first="40"):
        ws = self.socket()
        ws.recv()
        ws.send(first)
        return ws

    def connected(self):
        ws = self.connect()
        self.hear(ws), self.hear(ws)
        return ws

    def test_connect(self):
        for packet, prefix, auth in [("40", "40", {}), ('40{"token":"123"}', "40", {"token": "123"}),
                                     ("40/custom,", "40/custom,", {}),
                                     ('40/custom,{"token":"abc"}', "40/custom,", {"token": "abc"})]:
            ws = self.connect(packet)
            answer = self.hear(ws)
            self.assertTrue(answer.startswith(prefix + "{"), answer)
            self.assertEqual(set(json.loads(answer[len(prefix):])), {"sid"})
            event = self.hear(ws)
            self.assertEqual(event, "42" + prefix[2:] + json.dumps(["auth", auth], separators=(",", ":")))

    def test_connect_refusals(self):
        ws = self.connect("40/random")
        self.assertEqual(self.hear(ws), '44/random,{"message":"Invalid namespace"}')
        self.closes(self.connect("4abc"))
        start = time.monotonic()
        silent = self.socket()
        silent.recv()
        while True:  # answer pings, say nothing else
            opcode, data = silent.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE or data == b"1":
                break
            silent.send("3")
        self.assertAlmostEqual(time.monotonic() - start, 1.0, delta=0.4)

    def test_disconnect(self):
        ws = self.connected()
        ws.send("41")
        self.assertEqual(ws.recv(), "2", "the connection stays")
        ws = self.connected()
        ws.send("40/custom")
        self.hear(ws), self.hear(ws)
        ws.send("41/custom")
        ws.send('42["message","message to main namespace"]')
        self.assertEqual(self.hear(ws), '42["message-back","message to main namespace"]')

    def test_events(self):
        ws = self.connected()
        ws.send('42["message",1,"2",{"3":[true]}]')
        self.assertEqual(self.hear(ws), '42["message-back",1,"2",{"3":[true]}]')

    def test_binary_events(self):
        ws = self.connected()
        ws.send('452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]')
        ws.send_binary(b"\x01\x02\x03")
        ws.send_binary(b"\x04\x05\x06")
        self.assertEqual([self.hear(ws) for _ in range(3)],
                         ['452-["message-back",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]',
                          b"\x01\x02\x03", b"\x04\x05\x06"])

    def test_acks(self):
        ws = self.connected()
        ws.send('42456["message-with-ack",1,"2",{"3":[false]}]')
        self.assertEqual(self.hear(ws), '43456[1,"2",{"3":[false]}]')
        ws.send('452-789["message-with-ack",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]')
        ws.send_binary(b"\x01\x02\x03")
        ws.send_binary(b"\x04\x05\x06")
        self.assertEqual([self.hear(ws) for _ in range(3)],
                         ['462-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]',
                          b"\x01\x02\x03", b"\x04\x05\x06"])

    def test_malformed_packets_close(self):
        for bad in ["4abc", "42{}", '42abc["message-with-ack",1]', "42", '452-["message",{}]\x00', "49"]:
            ws = self.connected()
            ws.send(bad)
            self.closes(ws)

    def test_polling_carries_the_same(self):
        sid = self.open()
        self.assertEqual(self.post(sid, '40{"token":"123"}'), (200, "ok"))
        packets = self.poll(sid)[1].split("\x1e")
        self.assertEqual(packets[1], '42["auth",{"token":"123"}]')
        self.post(sid, '451-["message",{"_placeholder":true,"num":0}]\x1ebAQID')
        self.assertEqual(self.poll(sid)[1], '451-["message-back",{"_placeholder":true,"num":0}]\x1ebAQID')


class Msgpack(ProtocolCase):
    path = "/socket.io-msgpack/"

    def test_one_map_a_packet(self):
        import msgpack
        ws = self.socket()
        ws.recv()
        ws.send_binary(msgpack.packb({"type": 0, "nsp": "/", "data": {"token": "x"}}))
        answer = msgpack.unpackb(self.hear(ws))
        self.assertEqual((answer["type"], answer["nsp"], set(answer["data"])), (0, "/", {"sid"}))
        self.assertEqual(msgpack.unpackb(self.hear(ws)), {"type": 2, "nsp": "/", "data": ["auth", {"token": "x"}]})
        ws.send_binary(msgpack.packb({"type": 2, "nsp": "/", "id": 7, "options": {"compress": True},
                                      "data": ["message-with-ack", b"\x01\x02", 1.5, {"a": [None, True]}]}))
        self.assertEqual(msgpack.unpackb(self.hear(ws)),
                         {"type": 3, "nsp": "/", "id": 7, "data": [b"\x01\x02", 1.5, {"a": [None, True]}]})
        ws.send("40")
        self.closes(ws)


if __name__ == "__main__":
    unittest.main()
