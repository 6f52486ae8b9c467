"""The online service, played by a server on this machine: well, and slow, broken, partial and empty."""

import http.server
import json
import threading

import pytest
import requests

from scripts import findings
from scripts.enrichment import enrichr, sets
from scripts.sources import gene_sets

MEASURED = ["Mpo", "Elane", "Gata1", "Klf1", "Other"]
LISTS = {(0, "module 1", "positive"): ["Mpo", "Elane"], (0, "module 1", "negative"): ["Gata1"]}
ROW = [1, "a term", 0.001, 9.0, 60.0, ["MPO", "ELANE"], 0.01, 0, 0]


class Service(http.server.BaseHTTPRequestHandler):
    mode = "good"
    is_over = threading.Event()  # the test that the service answers to
    sent: list[str] = []

    def do_HEAD(self):
        self.send_response(200)
        self.end_headers()

    def do_GET(self):
        self.reply({"statistics": [{"libraryName": "Lib"}]})

    def do_POST(self):
        Service.sent.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        if self.path.endswith("addList"):
            self.reply({"userListId": 1, "shortId": "x"})
        elif self.path.endswith("addbackground"):
            self.reply({"backgroundid": "y"})
        elif Service.mode == "slow":
            Service.is_over.wait(600)
        elif Service.mode == "broken":
            self.reply({}, status=400)
        elif Service.mode == "partial":
            self.reply({"Lib": [ROW]}, cut=12)
        else:
            self.reply({"Lib": [] if Service.mode == "empty" else [ROW]})

    def reply(self, answer, status=200, cut=None):
        text = json.dumps(answer).encode()[:cut]
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


@pytest.fixture
def service(monkeypatch):
    """A function that sets how the service answers."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    request = requests.Session.request

    def redirected(session, method, url, *args, **kwargs):
        assert url.startswith("https://maayanlab.cloud/")
        local = url.replace("https://maayanlab.cloud", f"http://127.0.0.1:{server.server_port}")
        return request(session, method, local, *args, **kwargs)

    monkeypatch.setattr(requests.Session, "request", redirected)
    monkeypatch.setattr(gene_sets, "CONNECT", 60.0)  # also where the machine is busy
    Service.sent.clear()
    Service.is_over.clear()
    yield lambda mode: setattr(Service, "mode", mode)
    Service.is_over.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def tested():
    members = {"a term": ["MPO", "ELANE", "GATA1", "KLF1"]}
    return sets.tested_sets(MEASURED, gene_sets.Libraries({"Lib": members}, {"Lib": "here"}), min_size=1)


def test_by_default_nothing_is_sent_and_the_page_says_so(service, tested):
    table, said = findings.about_online(False, LISTS, tested, ["Lib"])
    assert table.empty and list(table.columns) == enrichr.ONLINE and not Service.sent
    assert said == ["No gene list has left this machine (enrichr_online is false)."]


def test_if_wanted_lists_and_background_are_sent_and_the_page_says_so(service, tested):
    service("good")
    table, said = findings.about_online(True, LISTS, tested, ["Lib", "mine.gmt"])
    assert table["term"].tolist() == ["a term"] * 2 and table["pole"].tolist() == ["positive", "negative"]
    assert table.loc[0, ["library", "p_value", "adjusted_p", "genes"]].tolist() == ["Lib", 0.001, 0.01, "MPO ELANE"]
    assert "2 gene lists of up to 2 genes, and the 4 genes of their background" in said[0]
    assert "were sent to Enrichr (maayanlab.cloud), a third party" in said[0]
    assert "MPO\nELANE" in Service.sent[0] and "KLF1" not in Service.sent[0]


@pytest.mark.parametrize(
    ("mode", "cause"), [("slow", "within 0 s"), ("broken", "as it should"), ("partial", "as it should")]
)
def test_what_goes_wrong_is_named_and_stops_nothing(service, tested, mode, cause):
    service(mode)
    table, said = findings.about_online(True, LISTS, tested, ["Lib"], limit=0.4 if mode == "slow" else 60)
    assert table.empty and not Service.is_over.is_set()  # a slow answer is not waited for
    assert cause in said[0] and "try again later" in said[0] and "Nothing else on this page depends on it" in said[0]


def test_an_empty_answer_is_an_empty_table(service, tested):
    service("empty")
    table, said = findings.about_online(True, LISTS, tested, ["Lib"])
    assert table.empty and list(table.columns) == enrichr.ONLINE and "were sent" in said[0]


def test_out_of_reach_nothing_is_sent(monkeypatch, tested):
    monkeypatch.setattr(enrichr, "reachable", lambda: False)
    monkeypatch.setattr(enrichr, "_send", lambda *a: pytest.fail("sent"))
    table, said = findings.about_online(True, LISTS, tested, ["Lib"])
    assert table.empty and "out of reach; check the network. Nothing was sent." in said[0]
    assert "names none of its libraries" in findings.about_online(True, LISTS, tested, ["mine.gmt"])[1][0]
    assert "there is no trusted module" in findings.about_online(True, {}, tested, ["Lib"])[1][0]
