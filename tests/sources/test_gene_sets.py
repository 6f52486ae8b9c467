"""Gene-set libraries: what is found, and what a slow, broken, partial or empty answer of the web leads to."""

import contextlib
import http.server
import threading
from collections import Counter

import pytest
import requests

from scripts.findings.enrichment import about_libraries, libraries_key_figure
from scripts.sources import diseases, download, gene_sets

LIBRARY = "first term\t\tMPO\tELANE,1.0\tGATA1\t\nsecond term\t\tKLF1\tCAR1\t\n"
SETS = {"first term": ["MPO", "ELANE", "GATA1"], "second term": ["KLF1", "CAR1"]}


class Web(http.server.BaseHTTPRequestHandler):
    """Enrichr as the tests need it: the name of the library says how it is answered."""

    asked = Counter()
    paths: list[str] = []
    is_over = threading.Event()  # the test that the server answers to

    def do_HEAD(self):
        self.send_response(200)
        self.end_headers()

    def do_GET(self):
        Web.paths.append(self.path)
        name = self.path.rpartition("=")[2]
        Web.asked[name] += 1
        getattr(self, name, self.refused)()

    def answer(self, text, status=200, length=None):
        self.send_response(status)
        if length != 0:
            self.send_header("Content-Length", str(length or len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def good(self):
        self.answer(LIBRARY)

    def refused(self):
        self.answer("no such library", 404)

    def broken(self):
        self.answer("error", 500)

    def recovers(self):
        self.answer(LIBRARY, 200 if Web.asked["recovers"] > 1 else 503)

    def empty(self):
        self.answer("")

    def page(self):
        self.answer("<!DOCTYPE html><html>\t\tlog in first\tplease</html>")

    def partial(self):
        self.answer(LIBRARY[:40], length=1000)

    def cut(self):
        self.answer(LIBRARY[:-3], length=0)  # without a length, the end of the connection is the end of the answer

    def slow(self):
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        with contextlib.suppress(OSError):
            while not Web.is_over.wait(0.05):
                self.wfile.write(b"term\t\tMPO\t\n")

    def log_message(self, *args):
        pass


@pytest.fixture
def web(monkeypatch, tmp_path):
    """Folder of the downloads; Enrichr is a server on this machine."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    Web.asked.clear()
    Web.paths.clear()
    Web.is_over.clear()
    monkeypatch.delenv("BMLP_DATA_DIR", raising=False)
    monkeypatch.setattr(gene_sets, "ENRICHR", f"http://127.0.0.1:{server.server_port}/Enrichr")
    monkeypatch.setattr(download, "DATA_FOLDER", tmp_path)
    monkeypatch.setattr(gene_sets, "WAITS", (0.01, 0.01, 0.01))
    monkeypatch.setattr(gene_sets, "CONNECT", 60.0)  # also where the machine is busy
    yield tmp_path / "genesets"
    Web.is_over.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Folder of the downloads; nothing takes up a call."""
    monkeypatch.delenv("BMLP_DATA_DIR", raising=False)
    monkeypatch.setattr(gene_sets, "ENRICHR", "http://127.0.0.1:9/Enrichr")
    monkeypatch.setattr(download, "DATA_FOLDER", tmp_path)
    return tmp_path / "genesets"


def test_a_library_is_downloaded_once_and_nothing_but_its_name_is_sent(web):
    found = gene_sets.gather(["good", "good"])
    assert found.sets == {"good": SETS} and found.origin == {"good": "downloaded from Enrichr"}
    assert Web.paths == ["/Enrichr/geneSetLibrary?mode=text&libraryName=good"]
    again = gene_sets.gather(["good"])
    assert again.sets == found.sets and again.origin == {"good": "data/genesets"} and Web.asked["good"] == 1
    assert [file.name for file in web.iterdir()] == ["good.gmt"]


@pytest.mark.parametrize(
    ("name", "cause", "attempts"),
    [
        ("broken", "status 500", 4),
        ("unknown", "status 404", 1),
        ("empty", "an empty answer", 4),
        ("page", "a web page in place of a library", 4),
        ("partial", "ChunkedEncodingError", 4),
        ("cut", "an answer that breaks off", 4),
    ],
)
def test_a_bad_answer_is_asked_again_then_named_and_leaves_nothing(web, name, cause, attempts):
    found = gene_sets.gather([name, "good"])
    assert set(found.sets) == {"good"}
    assert found.missing == {
        name: f"{name} could not be downloaded from Enrichr ({cause}): put {name}.gmt into data/genesets/"
    }
    assert Web.asked[name] == attempts
    assert [file.name for file in web.iterdir()] == ["good.gmt"]


def test_a_library_that_comes_at_the_second_attempt_is_used(web):
    assert gene_sets.gather(["recovers"]).sets == {"recovers": SETS} and Web.asked["recovers"] == 2


def test_a_slow_answer_is_given_up_at_the_limit(web, monkeypatch):
    monkeypatch.setattr(gene_sets, "reachable", lambda: True)  # leaves the whole time to the answer, which never ends
    found = gene_sets.gather(["slow", "other"], limit=1.0)
    assert "no answer in time" in found.missing["slow"] and "no time left" in found.missing["other"]
    assert not list(web.iterdir())


def test_attempts_wait_longer_each_time(web, monkeypatch):
    waits = []
    monkeypatch.setattr(gene_sets, "WAITS", (0.5, 1.0, 2.0))
    monkeypatch.setattr(gene_sets.time, "sleep", waits.append)
    gene_sets.gather(["broken"])
    assert waits == [0.0, 0.5, 1.0, 2.0]


def test_without_a_network_one_attempt_is_made_for_all_libraries(offline, monkeypatch):
    attempts = []
    head = requests.head
    monkeypatch.setattr(requests, "head", lambda *a, **k: attempts.append(a) or head(*a, **k))
    found = gene_sets.gather(["first", "second", "third", "KEGG_2021_Human"])
    assert len(attempts) == 1
    assert list(found.sets) == ["KEGG_2021_Human"] and list(found.missing) == ["first", "second", "third"]
    said = about_libraries(found)
    assert said[0] == "Used: KEGG_2021_Human (the pyenrichr package)."
    assert "first is not on this machine and Enrichr is out of reach: put first.gmt into data/genesets/." in said[1]


def test_a_network_that_swallows_calls_costs_the_limit_only(offline, monkeypatch):
    monkeypatch.setattr(gene_sets, "CONNECT", 0.2)
    is_over = threading.Event()  # until then a name server is silent; the call would succeed after that
    monkeypatch.setattr(requests, "head", lambda *a, **k: is_over.wait(600))
    assert not gene_sets.reachable()
    is_over.set()


def test_with_all_libraries_at_hand_the_web_is_left_alone(offline, monkeypatch):
    monkeypatch.setattr(gene_sets, "reachable", lambda: pytest.fail("asked the web"))
    found = gene_sets.gather(["GO_Biological_Process_2023", "KEGG_2021_Human"])
    assert {name: len(library) for name, library in found.sets.items()} == {
        "GO_Biological_Process_2023": 5407,
        "KEGG_2021_Human": 231,
    }
    assert found.diseases == {"KEGG_2021_Human": 89} and "89 sets of diseases are left out" in "".join(
        about_libraries(found)
    )
    whole = gene_sets.gather(["KEGG_2021_Human"], disease_sets=True)
    assert len(whole.sets["KEGG_2021_Human"]) == 320 and not whole.diseases
    left_out = whole.sets["KEGG_2021_Human"].keys() - found.sets["KEGG_2021_Human"].keys()
    assert {"Pathways in cancer", "Coronavirus disease", "Type II diabetes mellitus"} <= left_out
    assert not {"Ribosome", "Cell cycle", "Insulin signaling pathway"} & left_out


def test_pathways_of_diseases_are_known_by_number_or_name_in_libraries_of_kegg():
    sets = dict.fromkeys(
        [
            "Pathways in cancer_Homo sapiens_hsa05200",
            "renamed hsa05012",
            "KEGG_PRION_DISEASE",
            "Inflammatory bowel disease (IBD)",
            "Coronavirus disease - COVID-19",
            "Ribosome_Homo sapiens_hsa03010",
            "Insulin secretion",
        ],
        ["A"],
    )
    assert [*diseases.without_diseases("~/KEGG_2016.gmt", sets)] == [*sets][-2:]
    assert diseases.without_diseases("GO_Biological_Process_2023", sets) == sets


def test_files_are_looked_for_in_order(offline, monkeypatch, tmp_path):
    offline.mkdir()
    (offline / "KEGG_2021_Human.gmt").write_text(LIBRARY)
    assert gene_sets.gather(["KEGG_2021_Human"]).origin == {"KEGG_2021_Human": "data/genesets"}
    shared = tmp_path / "shared" / "genesets"
    shared.mkdir(parents=True)
    (shared / "KEGG_2021_Human.gmt").write_text(LIBRARY)
    monkeypatch.setenv("BMLP_DATA_DIR", str(shared.parent))
    assert gene_sets.gather(["KEGG_2021_Human"]).origin == {"KEGG_2021_Human": "BMLP_DATA_DIR"}
    mine = tmp_path / "mine.gmt"
    mine.write_text(LIBRARY, encoding="utf-8-sig")
    assert gene_sets.gather([str(mine)]).sets == {str(mine): SETS}
    assert gene_sets.gather(str(mine)).origin == {str(mine): "the file as named"}


def test_wrong_names_and_files_are_named_with_a_remedy(offline, tmp_path):
    (tmp_path / "text.gmt").write_text("no tabs in here\n")
    names = [str(tmp_path / "missing.gmt"), str(tmp_path / "text.gmt"), "../../etc/passwd", ""]
    found = gene_sets.gather(names)
    assert not found.sets and list(found.missing) == names
    reasons = list(found.missing.values())
    assert "no such file; check the path in gene_sets" in reasons[0]
    assert "text.gmt holds no gene set" in reasons[1]
    assert "is no name of a library" in reasons[2] and "is no name of a library" in reasons[3]
    assert all("\n" not in reason for reason in reasons)
    assert about_libraries(found)[0].startswith("No gene-set library could be had")


def test_terms_of_use_are_said_of_every_library_that_is_used(offline, tmp_path):
    mine = tmp_path / "mine.gmt"
    mine.write_text(LIBRARY)
    found = gene_sets.gather(["GO_Biological_Process_2023", "KEGG_2021_Human", str(mine)])
    assert set(found.origin.values()) == {"the pyenrichr package", "the file as named"}
    assert set(found.terms) == set(found.sets)
    said = " ".join(about_libraries(found))
    for words in ("Gene Ontology, CC BY 4.0", "KEGG, free for academic use", f"{mine}: those of its makers"):
        assert words in said
    assert said.count("NonCommercial-ShareAlike 4.0") == 2 and "noncommercial_sets: false leaves them out" in said
    assert "non-commercial use" in libraries_key_figure(found)


def test_libraries_for_noncommercial_use_can_be_left_out(offline, tmp_path, monkeypatch):
    """Wherever they lie, and without a call of the web; files of the user's are used."""
    shared = tmp_path / "shared" / "genesets"
    shared.mkdir(parents=True)
    (shared / "MSigDB_Hallmark_2020.gmt").write_text(LIBRARY)
    monkeypatch.setenv("BMLP_DATA_DIR", str(shared.parent))
    monkeypatch.setattr(gene_sets, "reachable", lambda: 1 / 0)
    names = ["GO_Biological_Process_2023", "KEGG_2021_Human", "MSigDB_Hallmark_2020", "Not_Here"]
    mine = str(shared / "MSigDB_Hallmark_2020.gmt")
    found = gene_sets.gather([*names, mine], noncommercial=False)
    assert list(found.sets) == [mine] and list(found.missing) == names
    assert all("noncommercial_sets rules out: name a .gmt file" in reason for reason in found.missing.values())
    said = " ".join(about_libraries(found))
    assert "NonCommercial" not in said and "for non-commercial use; noncommercial_sets" not in said
    assert libraries_key_figure(found) == mine
    assert libraries_key_figure(gene_sets.gather(names, noncommercial=False)) == "none"
