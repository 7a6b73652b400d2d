"""One object says what a database may do and take; it and other options never differ."""

import pytest

from embedded_db import (
    Config,
    EmbeddedDB,
    Enrichment,
    InvalidInput,
    Limit,
    MLConfig,
    NamespaceQuota,
    Policy,
    Quota,
    QuotaExceeded,
    Sampling,
)
from embedded_db.testing import FakeModel

TOML = """
[quota]
max_nodes = 2
max_memory = "none"
[quota.namespaces.guest]
max_nodes = 1
[sampling]
normal = 0.1
slow_threshold = 0.25
[enrichment]
topics = false
summary_span = "none"
[limits.embedding]
calls_per_minute = 60
"""
READ = Policy(
    quota=Quota(max_nodes=2, max_memory=None, namespaces={"guest": NamespaceQuota(max_nodes=1)}),
    sampling=Sampling(normal=0.1, slow_threshold=0.25),
    enrichment=Enrichment(topics=False, summary_span="none"),
    limits={"embedding": Limit(calls_per_minute=60)},
)


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "policy.toml"
    file.write_text(TOML)
    return file


def test_a_file_says_what_the_object_says(file):
    assert Policy.from_toml(file) == READ


def test_a_policy_sets_the_options_that_it_stands_for():
    config = Config(policy=READ)
    assert config.quota == READ.quota
    assert config.sampling == READ.sampling
    assert (config.weaver.topics, config.weaver.summary_span) == (False, None)
    assert config.weaver.curiosity, "what it leaves out stays as it is"
    assert isinstance(config.ml, MLConfig)
    assert config.ml.limits == READ.limits


def test_a_policy_is_kept(file, path):
    with EmbeddedDB(path, ml=None, policy=Policy.from_toml(file)) as db:
        db.create_nodes([{"label": "Thing"}] * 2)
        with pytest.raises(QuotaExceeded):
            db.create_node({"label": "Thing"})
        # Another handle may say the same by the options.
        same = {"quota": READ.quota, "sampling": READ.sampling}
        with EmbeddedDB(path, ml=None, policy={"enrichment": READ.enrichment}, **same) as other:
            assert other.count() == 2


CONFLICTS = [
    ({"quota": Quota(max_nodes=3)}, Policy(quota=Quota(max_nodes=2)), "quota"),
    ({"sampling": Sampling(slow=0.1)}, Policy(sampling=Sampling()), "sampling"),
    ({"weaver": {"topics": False}}, Policy(enrichment=Enrichment(topics=True)), "weaver.topics"),
    (
        {"ml": MLConfig(limits={"summary": Limit(calls_per_minute=1)})},
        Policy(limits={"summary": Limit(calls_per_minute=2)}),
        "ml.limits",
    ),
    ({"ml": FakeModel()}, Policy(limits={"summary": Limit(calls_per_minute=2)}), "MLConfig"),
]


@pytest.mark.parametrize(("options", "policy", "told"), CONFLICTS)
def test_what_a_policy_and_another_option_say_has_to_be_the_same(options, policy, told):
    with pytest.raises(InvalidInput, match=told):
        Config.from_dict({**options, "policy": policy})
    with pytest.raises(InvalidInput, match=told):
        Config.from_dict(options).with_options({"policy": policy})
    with pytest.raises(InvalidInput, match=told):
        Config(policy=policy).with_options(options)


def test_the_same_may_be_said_twice():
    quota = Quota(max_nodes=2)
    assert Config(quota=quota).with_options({"policy": {"quota": {"max_nodes": 2}}}).quota == quota
    policy = Policy(enrichment=Enrichment(curiosity=False))
    both = Config.from_dict({"weaver": {"curiosity": False}, "policy": policy})
    assert not both.weaver.curiosity


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[quotas]", "quota"),
        ("[quota]\nmax_node = 1", "max_nodes"),
        ("[quota.namespaces.a]\nmax_node = 1", "max_nodes"),
        ("[sampling]\nnormel = 1", "normal"),
        ("[enrichment]\ntopic = true", "topics"),
        ("[limits.embeding]", "embedding"),
        ("[limits.embedding]\ncalls_per_minut = 1", "calls_per_minute"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(tmp_path, text, told):
    file = tmp_path / "policy.toml"
    file.write_text(text)
    with pytest.raises(InvalidInput) as refused:
        Policy.from_toml(file)
    assert told in refused.value.hint


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("quota = 3", "Quota"),
        ("[quota]\nmax_nodes = -1", "max_nodes"),
        ("[sampling]\nerrors = 2", "from 0 to 1"),
        ("[enrichment]\ntopics = 1", "True or False"),
        ("[enrichment]\ncuriosity_threshold = 2", "cosine"),
        ('[enrichment]\nsummary_span = "year"', "week"),
        ("[limits]\nembedding = 3", "Limit"),
        ("[", "TOML"),
        ("\xff", "TOML"),
    ],
)
def test_a_wrong_value_is_refused(tmp_path, text, told):
    file = tmp_path / "policy.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidInput, match=told):
        Policy.from_toml(file)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    for missing in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(InvalidInput, match="policy file"):
            Policy.from_toml(missing)


def test_a_policy_is_no_option_of_a_handle_that_says_something_else(path):
    with (
        EmbeddedDB(path, ml=None, policy={"quota": {"max_nodes": 2}}),
        pytest.raises(InvalidInput, match="another Config"),
    ):
        EmbeddedDB(path, ml=None)


def test_a_configuration_file_may_hold_one(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text("[policy.sampling]\nnormal = 0.5")
    assert Config.from_file(file).sampling == Sampling(normal=0.5)
