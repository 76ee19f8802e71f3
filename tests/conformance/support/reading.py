"""What the tests of reading share: a server over the samples, and what every error looks like."""
import numpy as np

from support import zn


class Api(zn.StoreCase):
    """Rooms `molecules` (162 frames of many sizes, fields absent from some) and `alloy` (100 frames of 108 atoms)."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for room, file in (("molecules", "molecules.xyz"), ("alloy", "alloy_md.xyz"), ("crystal", "strained_crystal.xyz")):
            code, output = zn.import_file(cls.store, room, zn.DATA / file)
            assert code == 0, output
        cls.server = zn.Server(cls.store)
        cls.molecules = cls.server.room("molecules", "/frames").frames()
        cls.alloy = cls.server.room("alloy", "/frames").frames()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        super().tearDownClass()

    def get(self, path, **headers):
        return self.server.get(path, {key.replace("_", "-"): value for key, value in headers.items()})

    def problem(self, reply, status):
        """api.md: RFC 9457, every error."""
        self.assertEqual(reply.status, status, reply.body[:300])
        self.assertTrue(reply.headers["Content-Type"].startswith("application/problem+json"), reply.headers)
        body = reply.json()
        for key in ("type", "title", "status", "detail", "instance"):
            self.assertIn(key, body)
        self.assertEqual(body["status"], status)
        return body

    def equal_frames(self, got, want):
        self.assertEqual(len(got), len(want))
        for g, w in zip(got, want):
            self.assertEqual(set(g), set(w))
            for field in w:
                np.testing.assert_array_equal(g[field], w[field])

    def indices(self, selection, room="molecules"):
        return self.server.room(room, "/frames", indices=selection, data="energy", format="columns").columns().indices.tolist()
