"""Rules of Engine.IO v4, Socket.IO v5 and WebSocket beyond the public suites': what a client that errs, or is unlucky, sees."""
import http.client
import json
import os
import struct
import time
import unittest

import websocket
from socketio_protocol_test import MAX_PAYLOAD, PING_INTERVAL, PING_TIMEOUT, ProtocolCase
from support.zn import Client


class EngineRules(ProtocolCase):
    path = "/engine.io/"

    def over(self, sid):
        self.assertEqual(self.poll(sid)[0], 400)
        self.assertEqual(self.post(sid, "4x")[0], 400)

    def alive(self, sid):
        self.assertEqual(self.post(sid, "4alive"), (200, "ok"))
        text = self.poll(sid)[1]
        self.assertIn("4alive", text.split("\x1e"))

    def test_sessions_have_names_of_their_own(self):
        self.assertEqual(len({self.open() for _ in range(50)}), 50)

    def test_a_poll_that_is_given_up_ends_the_session(self):
        sid = self.open()
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port)
        connection.request("GET", f"{self.path}?EIO=4&transport=polling&sid={sid}")
        time.sleep(0.05)
        connection.close()
        time.sleep(0.05)
        self.over(sid)

    def test_payloads_that_are_none(self):
        for payload in ("", "\x1e", "4a\x1e", "7", "4a\x1ezz", "b===", "bA", "b\x01", "ba\x1eb@"):
            with self.subTest(payload):
                sid = self.open()
                self.assertEqual(self.post(sid, payload)[0], 400)
                self.over(sid)
        sid = self.open()
        status, _ = self.ask("POST", f"EIO=4&transport=polling&sid={sid}", b"4\xff\xfe")
        self.assertEqual(status, 400)
        self.over(sid)

    def test_pings_are_the_servers(self):
        sid = self.open()
        self.assertIn(self.post(sid, "2")[0], (200, 400))
        self.over(sid)
        ws = self.socket()
        ws.recv()
        ws.send("2")
        self.closes(ws)

    def test_other_methods_of_a_session(self):
        sid = self.open()
        for method in ("PUT", "DELETE", "PATCH"):
            self.assertIn(self.ask(method, f"EIO=4&transport=polling&sid={sid}", b"4x")[0], (400, 405), method)
        self.alive(sid)

    def test_a_pong_that_comes_late_in_its_time_is_enough(self):
        ws = self.socket()
        ws.recv()
        for _ in range(3):
            self.assertEqual(ws.recv(), "2")
            time.sleep(PING_TIMEOUT * 0.6)
            ws.send("3")

    def test_messages_are_no_pongs(self):
        ws = self.socket()
        ws.recv()
        begun = time.monotonic()
        ws.settimeout(0.05)
        while time.monotonic() < begun + 3:
            ws.send("4x")
            try:
                if ws.recv_data()[0] == websocket.ABNF.OPCODE_CLOSE:
                    break
            except websocket.WebSocketTimeoutException:
                pass
        self.assertAlmostEqual(time.monotonic() - begun, PING_INTERVAL + PING_TIMEOUT, delta=0.2)

    def test_polled_payloads_stay_below_the_limit(self):
        sid = self.open()
        for letter in "abc":  # more than a payload has, and less than is kept for a client
            self.assertEqual(self.post(sid, "4" + letter * 340_000), (200, "ok"))
        sizes, letters = [], ""
        while len(letters) < 3:
            status, text = self.poll(sid)
            self.assertEqual(status, 200)
            packets = text.split("\x1e")
            sizes.append(sum(map(len, packets)) + len(packets) - 1)
            letters += "".join(p[1] for p in packets if p[0] == "4")
            if "2" in packets:
                self.post(sid, "3")
        self.assertEqual(letters, "abc")
        self.assertLessEqual(max(sizes), MAX_PAYLOAD)

    def test_a_bad_probe_leaves_the_session_on_polling(self):
        for probe in ("2", "2prob", "4x", "5", "abc"):
            with self.subTest(probe):
                sid = self.open()
                ws = self.socket(f"EIO=4&transport=websocket&sid={sid}")
                ws.send(probe)
                self.closes(ws)
                self.alive(sid)

    def test_a_probe_that_goes_away_leaves_the_session_on_polling(self):
        sid = self.open()
        ws = self.socket(f"EIO=4&transport=websocket&sid={sid}")
        ws.send("2probe")
        self.assertEqual(ws.recv(), "3probe")
        ws.shutdown()
        time.sleep(0.05)
        self.alive(sid)

    def test_one_probe_at_a_time(self):
        sid = self.open()
        first = self.socket(f"EIO=4&transport=websocket&sid={sid}")
        first.send("2probe")
        self.assertEqual(first.recv(), "3probe")
        self.closes(self.socket(f"EIO=4&transport=websocket&sid={sid}"))
        first.send("5")
        first.send("4mine")
        self.assertEqual(self.hear(first), "4mine")

    def test_a_session_that_began_with_a_websocket_is_not_polled(self):
        ws = self.socket()
        sid = json.loads(ws.recv()[1:])["sid"]
        self.assertEqual(self.poll(sid)[0], 400)
        self.assertEqual(self.post(sid, "4x")[0], 400)
        ws.send("4here")
        self.assertEqual(self.hear(ws), "4here")

    def test_preflight_and_pages_of_other_origins(self):
        client = Client(self.server.port)
        reply = client.request("OPTIONS", f"{self.path}?EIO=4&transport=polling", headers={"Origin": f"http://127.0.0.1:{self.server.port}"})
        self.assertEqual((reply.status, reply.headers["Access-Control-Allow-Methods"]), (204, "GET, POST"))
        for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}):
            self.assertEqual(client.request("GET", f"{self.path}?EIO=4&transport=polling", headers=headers).status, 403, headers)
            client.close()

    def test_polls_are_not_cached(self):
        client = Client(self.server.port)
        reply = client.get(f"{self.path}?EIO=4&transport=polling")
        self.assertEqual(reply.headers["Cache-Control"], "no-store")
        self.assertTrue(reply.headers["Content-Type"].startswith("text/plain"))
        client.close()


class WebSocketRules(ProtocolCase):
    """RFC 6455, as far as a client can break it."""
    path = "/engine.io/"
    OPCODE = websocket.ABNF

    def handshake(self, **changes):
        headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                   "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
        headers.update({name.replace("_", "-"): value for name, value in changes.items()})
        client = Client(self.server.port)
        try:
            return client.get(f"{self.path}?EIO=4&transport=websocket", {k: v for k, v in headers.items() if v is not None})
        finally:
            client.close()

    def test_handshakes_that_are_none(self):
        for changes in ({"Upgrade": None}, {"Connection": "close"}, {"Sec_WebSocket_Key": None}, {"Sec_WebSocket_Key": "short"},
                        {"Upgrade": "h2c"}):
            self.assertEqual(self.handshake(**changes).status, 400, changes)
        reply = self.handshake(Sec_WebSocket_Version="8")
        self.assertEqual((reply.status, reply.headers["Sec-WebSocket-Version"]), (426, "13"))

    def opened(self):
        ws = self.socket()
        ws.recv()
        return ws

    def send_raw(self, ws, first, payload, masked=True, length=None):
        mask = os.urandom(4) if masked else b""
        size = len(payload) if length is None else length
        head = bytes([first])
        flag = 0x80 if masked else 0
        if size < 126:
            head += bytes([flag | size])
        elif size < 65536:
            head += bytes([flag | 126]) + struct.pack(">H", size)
        else:
            head += bytes([flag | 127]) + struct.pack(">Q", size)
        body = bytes(b ^ mask[i % 4] for i, b in enumerate(payload)) if masked else payload
        ws.sock.sendall(head + mask + body)

    def code(self, ws):
        """The code of the server's close frame."""
        while True:
            opcode, data = ws.recv_data(control_frame=True)
            if opcode == self.OPCODE.OPCODE_CLOSE:
                return struct.unpack(">H", data[:2])[0]

    def test_frames_that_break_the_rules(self):
        for name, code, first, payload, options in (
                ("unmasked", 1002, 0x81, b"4x", {"masked": False}),
                ("a reserved bit", 1002, 0xC1, b"4x", {}),
                ("an unknown opcode", 1002, 0x83, b"4x", {}),
                ("an unknown control frame", 1002, 0x8B, b"", {}),
                ("a continuation of nothing", 1002, 0x80, b"4x", {}),
                ("a fragmented ping", 1002, 0x09, b"", {}),
                ("a long ping", 1002, 0x89, b"x" * 126, {}),
                ("a close of one byte", 1002, 0x88, b"x", {}),
                ("text that is no UTF-8", 1007, 0x81, b"4\xff\xfe", {}),
                ("too much", 1009, 0x81, b"4", {"length": MAX_PAYLOAD + 1}),
                ("2^63", 1002, 0x81, b"4", {"length": 1 << 63})):
            with self.subTest(name):
                ws = self.opened()
                self.send_raw(ws, first, payload, **options)
                self.assertIn(self.code(ws), (code, 1009) if name == "2^63" else (code,))

    def test_fragments_with_pings_between(self):
        ws = self.opened()
        self.send_raw(ws, 0x01, "4hä".encode()[:3])  # within a character
        self.send_raw(ws, 0x89, b"between")
        self.send_raw(ws, 0x00, "4hä".encode()[3:])
        self.send_raw(ws, 0x80, b"!")
        opcode, data = ws.recv_data(control_frame=True)
        while opcode != self.OPCODE.OPCODE_PONG:
            opcode, data = ws.recv_data(control_frame=True)
        self.assertEqual(data, b"between")
        self.assertEqual(self.hear(ws), "4hä!")

    def test_closes_are_answered_in_kind(self):
        ws = self.opened()
        self.send_raw(ws, 0x88, struct.pack(">H", 3001) + b"bye")
        self.assertEqual(self.code(ws), 3001)

    def test_a_client_that_pings_and_reads_nothing_is_dropped(self):
        ws = self.opened()
        ping = bytes([0x89, 0x80 | 125, 0, 0, 0, 0]) + b"x" * 125
        before = self.memory()
        for _ in range(2000):
            ws.sock.sendall(ping * 500)  # 130 MB in all, of which nothing is kept
        self.assertLess(self.memory() - before, 40)
        read, code = 0, None
        while code is None:
            opcode, data = ws.recv_data(control_frame=True)
            read += len(data)
            if opcode == self.OPCODE.OPCODE_CLOSE:
                code = struct.unpack(">H", data[:2])[0]
        self.assertEqual(code, 1008)
        self.assertLess(read, 30_000_000)

    def memory(self):
        with open(f"/proc/{self.server.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("RssAnon:")) / 1024


class SocketRules(ProtocolCase):
    path = "/socket.io/"

    def connect(self, first="40"):
        ws = self.socket()
        self.engine_sid = json.loads(ws.recv()[1:])["sid"]
        ws.send(first)
        return ws

    def connected(self, first="40"):
        ws = self.connect(first)
        self.hear(ws), self.hear(ws)
        return ws

    def test_each_namespace_has_a_name_that_is_no_secret(self):
        ws = self.connect("40")
        names = {self.engine_sid, json.loads(self.hear(ws)[2:])["sid"]}
        self.hear(ws)
        ws.send("40/custom,")
        names.add(json.loads(self.hear(ws)[len("40/custom,"):])["sid"])
        self.assertEqual(len(names), 3)

    def test_events_and_acks_of_a_namespace(self):
        ws = self.connected("40/custom,")
        ws.send('42/custom,["message",1]')
        self.assertEqual(self.hear(ws), '42/custom,["message-back",1]')
        ws.send('42/custom,12["message-with-ack"]')
        self.assertEqual(self.hear(ws), "43/custom,12[]")
        ws.send('451-/custom,13["message-with-ack",{"_placeholder":true,"num":0}]')
        ws.send_binary(b"\x07")
        self.assertEqual([self.hear(ws), self.hear(ws)], ['461-/custom,13[{"_placeholder":true,"num":0}]', b"\x07"])

    def test_a_refused_namespace_leaves_the_others(self):
        ws = self.connected()
        ws.send("40/random,")
        self.assertEqual(self.hear(ws), '44/random,{"message":"Invalid namespace"}')
        ws.send('42["message",1]')
        self.assertEqual(self.hear(ws), '42["message-back",1]')

    def test_an_ack_nobody_waits_for_is_passed_over(self):
        ws = self.connected()
        ws.send('4399["x"]')
        ws.send('42["message",1]')
        self.assertEqual(self.hear(ws), '42["message-back",1]')

    def test_no_ack_without_a_number(self):
        ws = self.connected()
        ws.send('42["message-with-ack",1]')
        ws.send('42["message",2]')
        self.assertEqual(self.hear(ws), '42["message-back",2]')

    def test_the_largest_number_of_an_ack(self):
        ws = self.connected()
        ws.send('420["message-with-ack",1]')
        self.assertEqual(self.hear(ws), "430[1]")
        ws.send('429007199254740991["message-with-ack",1]')
        self.assertEqual(self.hear(ws), "439007199254740991[1]")

    def test_what_ends_the_connection(self):
        for name, packets in {
                "an event before CONNECT": ['42["message",1]'],
                "a reserved name": ["40", '42["connect",1]'],
                "disconnecting": ["40", '42["disconnect"]'],
                "no name": ["40", "42[]"],
                "a name that is an object": ["40", "42[{}]"],
                "a name that is null": ["40", "42[null]"],
                "payload behind the payload": ["40", '42["message"]["x"]'],
                "JSON that is cut": ["40", '42["message",'],
                "JSON that is deep": ["40", '42["message",' + "[" * 5000 + "]" * 5000 + "]"],
                "CONNECT with a text": ['40"token"'],
                "CONNECT with a list": ["40[1]"],
                "a number that is too long": ["40", '42' + "9" * 40 + '["message-with-ack"]'],
                "CONNECT_ERROR of a client": ["40", '44{"message":"x"}'],
                "a binary packet without a count": ["40", '45["message"]'],
                "a count without a dash": ["40", '451["message",{"_placeholder":true,"num":0}]'],
                "more attachments than a packet has": ["40", '45999999999-["message",{"_placeholder":true,"num":0}]'],
                "text while attachments are awaited": ["40", '451-["message",{"_placeholder":true,"num":0}]', '42["message",1]'],
                "an attachment that nobody awaits": ["40", b"\x01"],
                "a placeholder beyond": ["40", '451-["message",{"_placeholder":true,"num":1}]', b"\x01"],
                "a negative placeholder": ["40", '451-["message",{"_placeholder":true,"num":-1}]', b"\x01"],
                "a placeholder that is a text": ["40", '451-["message",{"_placeholder":true,"num":"splice"}]', b"\x01"],
        }.items():
            with self.subTest(name):
                ws = self.socket()
                ws.recv()
                for packet in packets:
                    ws.send_binary(packet) if isinstance(packet, bytes) else ws.send("4" + packet if packet[0] != "4" else packet)
                begun = time.monotonic()
                self.closes(ws)
                self.assertLess(time.monotonic() - begun, 0.25, "closed for it, and not for silence")

    def test_an_event_behind_a_disconnect_is_passed_over(self):
        ws = self.connected()
        ws.send("40/custom,")
        self.hear(ws), self.hear(ws)
        ws.send("41/custom,")
        ws.send('42/custom,["message",1]')
        ws.send('42["message",2]')
        self.assertEqual(self.hear(ws), '42["message-back",2]')

    def test_disconnecting_what_is_not_connected_changes_nothing(self):
        ws = self.connected()
        ws.send("41/custom,")
        ws.send('42["message",1]')
        self.assertEqual(self.hear(ws), '42["message-back",1]')

    def test_no_more_namespaces_than_a_client_needs(self):
        ws = self.connect()
        for i in range(100):
            ws.send(f"40/n{i},")
        refused = 0
        for _ in range(60):
            try:
                refused += self.hear(ws).startswith("44/n")
            except (websocket.WebSocketException, OSError):
                break
        self.assertGreaterEqual(refused, 1)

    def test_attachments_count_for_the_limit(self):
        ws = self.connected()
        ws.send('455-["message"' + "".join(f',{{"_placeholder":true,"num":{i}}}' for i in range(5)) + "]")
        try:
            for _ in range(5):
                ws.send_binary(bytes(990_000))
        except OSError:
            pass
        self.closes(ws)

    def test_polling_upgraded_in_the_middle_of_an_event(self):
        sid = self.open()
        self.post(sid, "40")
        self.poll(sid)
        self.post(sid, '452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]\x1ebAQ==')
        ws = self.socket(f"EIO=4&transport=websocket&sid={sid}")
        ws.send("2probe")
        self.assertEqual(ws.recv(), "3probe")
        ws.send("5")
        ws.send_binary(b"\x02")
        self.assertEqual([self.hear(ws) for _ in range(3)],
                         ['452-["message-back",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', b"\x01", b"\x02"])


if __name__ == "__main__":
    unittest.main()
