"""How objects are named: NAME, or NAMESPACE/NAME, which wins over --namespace; used by every verb that takes a name.

>>> split_name("towns", "demo"), split_name("prod/towns", "demo"), split_name("towns", None)
(('demo', 'towns'), ('prod', 'towns'), (None, 'towns'))
"""


def split_name(name: str, namespace: str | None) -> tuple[str | None, str]:
    """Return the namespace, None where none is told, and the name."""
    before, slash, after = name.partition("/")
    return (before, after) if slash else (namespace, name)
