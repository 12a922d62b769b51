"""Balancers as people write them: parts of public workers.properties, slips of the pen and all.

Names and addresses are neutral.
"""

from pathlib import Path

import pytest

from ajp.lb import Activation, Balancer, Method
from ajpd.config import BalancerConfig, Config, ConfigErrors, load_files

#: The template that mod_jk ships: repeated lists, a reference, and times written out.
SHIPPED = """\
worker.list=balancer
worker.balancer.type=lb
worker.balancer.error_escalation_time=0
worker.balancer.max_reply_timeouts=10
worker.balancer.balance_workers=node1
worker.node1.reference=worker.template
worker.node1.host=localhost
worker.node1.port=8109
worker.node1.activation=A
worker.balancer.balance_workers=node2
worker.node2.reference=worker.template
worker.node2.host=localhost
worker.node2.port=8209
worker.node2.activation=A
worker.template.type=ajp13
worker.template.socket_connect_timeout=5000
worker.template.socket_keepalive=true
worker.template.ping_mode=A
worker.template.ping_timeout=10000
worker.template.connection_pool_minsize=0
worker.template.connection_pool_timeout=600
worker.template.reply_timeout=300000
worker.template.recovery_options=3
"""
SHIPPED_MAP = """\
/admin/*=balancer
/manager/*=balancer
/examples/*=balancer
!/examples/*.jpg=balancer
"""

#: Routes of their own, `Session` for the method, lbfactor in the template.
ROUTES = """\
worker.list=balancer
worker.template.type=ajp13
worker.template.connection_pool_size=32
worker.template.connection_pool_minsize=16
worker.template.lbfactor=1
worker.balancer.type=lb
worker.balancer.balance_workers=worker1,worker2
worker.balancer.sticky_session=true
worker.balancer.method=Session
worker.balancer.retries=2
worker.balancer.lb_retries=2
worker.worker1.reference=worker.template
worker.worker1.host=192.168.137.11
worker.worker1.port=8009
worker.worker1.route=inst1
worker.worker2.reference=worker.template
worker.worker2.host=192.168.137.12
worker.worker2.port=8009
worker.worker2.route=inst2
"""

#: Variables, a domain for each member, shares of a hundred, members that no balancer has.
DOMAINS = """\
default.connect_timeout=10000
default.recovery_options=3
worker.list=loadbalancer
worker.de02_p0.domain=jvm_de02_p0
worker.de02_p0.host=10.239.255.133
worker.de03_p0.domain=jvm_de03_p0
worker.de03_p0.host=10.239.255.134
worker.de03_p0.port=10009
worker.de03_p0.lbfactor=100
worker.de03_p0.connect_timeout=$(default.connect_timeout)
worker.de03_p0.recovery_options=$(default.recovery_options)
worker.de03_p0.socket_timeout=30
worker.de03_p1.domain=jvm_de03_p1
worker.de03_p1.host=10.239.255.134
worker.de03_p1.port=11009
worker.de03_p1.lbfactor=100
worker.loadbalancer.type=lb
worker.loadbalancer.balance_workers=de03_p0,de03_p1
worker.loadbalancer.sticky_session=true
worker.loadbalancer.method=B
"""

#: A hot standby, behind a byte order mark; hyphens, and blanks in lists.
STANDBY = """\
\ufeff# Define list of workers
worker.list=loadbalancer-cdm, tomcat6
worker.loadbalancer-cdm.type=lb
worker.loadbalancer-cdm.balance_workers=jboss-master, jboss-slaver
worker.loadbalancer-cdm.sticky_session=1
worker.jboss-master.type=ajp13
worker.jboss-master.host=192.0.2.112
worker.jboss-master.lbfactor=1
worker.jboss-master.connection_pool_size=250
worker.jboss-master.redirect=jboss-slaver
worker.jboss-slaver.type=ajp13
worker.jboss-slaver.host=192.0.2.114
worker.jboss-slaver.lbfactor=1
worker.jboss-slaver.activation=disabled
worker.tomcat6.port=18009
worker.tomcat6.lbfactor=1
"""

#: No types, names that begin with a digit, the former name of the list, members in the list too.
DIGITS = """\
worker.list=examples
worker.examples.host=192.168.56.102
worker.list=1tomcat, 2tomcat, loadbalancer
worker.1tomcat.port=8109
worker.1tomcat.lbfactor=5
worker.2tomcat.port=8209
worker.2tomcat.lbfactor=1
worker.loadbalancer.type=lb
worker.loadbalancer.balanced_workers=1tomcat,2tomcat
worker.loadbalancer.sticky_session=true
"""

#: A directive of the balancer in the template of its members.
MISPLACED = """\
worker.list=app-balancer
worker.app-balancer.type=lb
worker.app-balancer.balance_workers=app-worker2,app-worker1
worker.ajptemplate.type=ajp13
worker.ajptemplate.lbfactor=1
worker.ajptemplate.recover_time=1
worker.ajptemplate.fail_on_status=500,503
worker.app-worker1.reference=worker.ajptemplate
worker.app-worker1.port=8009
worker.app-worker2.reference=worker.ajptemplate
worker.app-worker2.port=8019
"""

#: Blanks around signs, a directive twice, and every line indented.
BLANKS = """\
 worker.list=lbcluster1  \n\
 worker.TomcatA.port=8009
 worker.TomcatA.host=192.168.0.32  \n\
 worker.TomcatB.host=192.168.0.33
 worker.lbcluster1.type = lb
 worker.lbcluster1.type = lb
 worker.lbcluster1.sticky_session = 1
 worker.lbcluster1.balance_workers = TomcatA, TomcatB
"""

#: Rounds and a pause for the balancer, no stickiness, CRLF.
ROUNDS = """\
worker.list=cfusion_balancer
worker.cfusion_balancer.type=lb
worker.maintain=60
worker.cfusion_balancer.balance_workers=cfusiontest,cfusiontest1
worker.cfusion_balancer.sticky_session=false
worker.cfusion_balancer.method=R
worker.cfusion_balancer.retries=10
worker.cfusion_balancer.retry_interval=200
worker.cfusiontest.host=127.0.0.1
worker.cfusiontest.route=cfusiontest
worker.cfusiontest1.port=8014
worker.cfusiontest1.route=cfusiontest1
""".replace("\n", "\r\n")


def load(folder: Path, text: str, uri_map: str = "") -> Config:
    (folder / "w").write_bytes(text.encode())
    (folder / "m").write_bytes(uri_map.encode())
    config = load_files(folder / "w", folder / "m", env={})
    for balancer in config.balancers.values():
        Balancer([member.member for member in balancer.members], balancer.settings)
    return config


def balancer_of(folder: Path, text: str, uri_map: str = "") -> tuple[BalancerConfig, list[str]]:
    """The only balancer, and the warnings that say more than where rules are missing."""
    config = load(folder, text, uri_map)
    (balancer,) = config.balancers.values()
    warnings = [str(warning).replace(f"{folder}/", "") for warning in config.warnings]
    return balancer, [text for text in warnings if "no rule" not in text]


def test_shipped(tmp_path: Path) -> None:
    balancer, warnings = balancer_of(tmp_path, SHIPPED, SHIPPED_MAP)
    assert not warnings
    assert [member.name for member in balancer.members] == ["node1", "node2"]
    assert [member.worker.port for member in balancer.members] == [8109, 8209]
    assert {member.worker.reply_timeout_ms for member in balancer.members} == {300_000}
    assert {member.activation for member in balancer.members} == {Activation.ACTIVE}
    assert balancer.error_escalation_time_ms == 0
    assert balancer.max_reply_timeouts == 10


def test_routes(tmp_path: Path) -> None:
    balancer, warnings = balancer_of(tmp_path, ROUTES)
    assert not warnings
    assert balancer.method is Method.SESSIONS
    assert [member.route for member in balancer.members] == ["inst1", "inst2"]


def test_domains(tmp_path: Path) -> None:
    balancer, warnings = balancer_of(tmp_path, DOMAINS)
    assert warnings == ["w:4: worker 'de02_p0' is not in worker.list and not used"]
    assert balancer.method is Method.BUSYNESS
    assert [member.domain for member in balancer.members] == ["jvm_de03_p0", "jvm_de03_p1"]
    assert [member.lbfactor for member in balancer.members] == [100, 100]
    assert balancer.members[0].worker.connect_timeout_ms == 10_000


def test_a_hot_standby(tmp_path: Path) -> None:
    balancer, warnings = balancer_of(tmp_path, STANDBY)
    assert warnings == ["w:16: 'lbfactor' only means something for a member of a balancer"]
    master, standby = balancer.members
    assert master.redirect == standby.route == "jboss-slaver"
    assert standby.activation is Activation.DISABLED


def test_names_that_begin_with_a_digit(tmp_path: Path) -> None:
    balancer, warnings = balancer_of(tmp_path, DIGITS)
    assert [member.lbfactor for member in balancer.members] == [5, 1]
    assert [warning.partition(": ")[0] for warning in warnings] == ["w:3", "w:3", "w:9"]
    assert "'1tomcat' is in worker.list and a member" in warnings[0]
    assert "'balanced_workers' is the former name" in warnings[2]


def test_a_directive_of_the_balancer_at_its_members(tmp_path: Path) -> None:
    balancer, warnings = balancer_of(tmp_path, MISPLACED)
    assert [member.name for member in balancer.members] == ["app-worker2", "app-worker1"]
    assert warnings == [
        "w:6: 'recover_time' belongs to type lb and has no effect on type ajp13, "
        "nor has it in mod_jk"
    ]
    assert balancer.recover_time_ms == 60_000
    assert balancer.members[0].worker.fail_on_status == (500, 503)


def test_blanks(tmp_path: Path) -> None:
    balancer, warnings = balancer_of(tmp_path, BLANKS)
    assert [member.worker.host for member in balancer.members] == ["192.168.0.32", "192.168.0.33"]
    assert warnings == [
        "w:6: 'worker.lbcluster1.type' was already given on line 5; the last one counts"
    ]


def test_rounds(tmp_path: Path) -> None:
    balancer, warnings = balancer_of(tmp_path, ROUNDS)
    assert not warnings
    assert not balancer.sticky_session
    assert (balancer.retries, balancer.retry_interval_ms) == (10, 200)
    assert balancer.maintain_ms == 60_000


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        (
            "worker.list=lb\nworker.lb.type=lb\nworker.lb.balance_workers=myworker,other\n"
            "worker.myworker.host=192.168.1.5\n",
            ["w:3: member 'other' of balancer 'lb' is defined nowhere"],
        ),
        (
            ROUNDS + "worker.cfusiontest.max_reuse_connections=250\r\n",
            ["w:13: unknown directive 'max_reuse_connections' of worker 'cfusiontest'"],
        ),
        (
            "worker.list=controller\nworker.controller.type=lb\nworker.one.port=8081\n"
            "worker.controller.balanced_workers=one\nworker.controller.sticky_seesion=false\n",
            [
                "w:5: unknown directive 'sticky_seesion' of worker 'controller' "
                "(did you mean 'sticky_session'?)"
            ],
        ),
    ],
)
def test_slips_of_the_pen(tmp_path: Path, text: str, errors: list[str]) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path, text)
    assert [str(error).replace(f"{tmp_path}/", "") for error in caught.value.errors] == errors


#: One oddity of a public file each, and what is said about it: (lines before which
#: `worker.list=app` stands, the line, words of the warning).
ODDITIES = [
    ("; worker.app.port=8010\nworker.app.port=8009", 2, "only # begins a comment"),
    ("ps=/\nworker.app.port=8009\nworker.port=1", 4, "is the directive of no worker"),
    ("worker.app.port=80x9", 2, "'80x9' is taken as 80, as mod_jk does"),
    (
        "worker.app.port=8009\nworker.app.sticky_session=1",
        3,
        "belongs to type lb and has no effect",
    ),
    (
        "worker.app.port=8009\nworker.app.recover_time=5",
        3,
        "has no effect on type ajp13, nor has it",
    ),
    ("worker.app.balance_workers=a", 2, "has members but no type, which makes it ajp13"),
    ("worker.app.port=8009\nworker.other.port=8010", 3, "is not in worker.list and not used"),
    ("worker.app.port=8009\nworker.app.port=8010", 3, "was already given on line 2; the last one"),
    ("worker.app.cachesize=10", 2, "is the former name of 'connection_pool_size'"),
    ("worker.app.recycle_timeout=10", 2, "is ignored, as it is by mod_jk"),
    ("worker.app.class_path=/x\nworker.app.class_path=/y", 3, "is ignored, as it is by mod_jk"),
    (
        "worker.app.host=Adresse IP TOMCAT1",
        2,
        "mod_jk cannot resolve it and switches the worker off",
    ),
    ("worker.app.host=localhost(tomcat server)", 2, "mod_jk cannot resolve it"),
    ("worker.app.host=$TOMCAT_IP", 2, "mod_jk cannot resolve it"),
    ("worker.app.host=$(TOMCAT_IP)", 2, "the variable $(TOMCAT_IP) is set nowhere above"),
    ("$ cat workers.properties\nworker.app.port=1", 2, "a line without '=' is ignored"),
    ("worker.app.host=h#1\nworker.app.port=1", 2, "ends at '#', which begins a comment anywhere"),
    ("worker.app.port=8009\nworker.app.lbfactor=2", 3, "only means something for a member"),
    ("worker.app.port=8009\nworker.app.host=", 3, "has no value and is ignored"),
    ("Worker.app.port=8009\nworker.app.port=1", 2, "does not begin with 'worker.'"),
]


@pytest.mark.parametrize(("lines", "line", "words"), ODDITIES)
def test_oddities(tmp_path: Path, lines: str, line: int, words: str) -> None:
    config = load(tmp_path, f"worker.list=app\n{lines}\n", "/*=app\n")
    found = [warning for warning in config.warnings if words in warning.message]
    assert [(Path(warning.file).name, warning.line) for warning in found] == [("w", line)]
    assert list(config.workers) == ["app"]
