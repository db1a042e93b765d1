"""Job files: the least that one says, and all that one can say."""

import re
from collections.abc import Callable

from secure_kmeans.protocols.shk.job import ShkJob

Read = Callable[[str | bytes], ShkJob]
"""Read a job from the text of its file."""

Refusal = Callable[[str | bytes], str]
"""The message with which a job of this text is refused, without the name of the file."""

MINIMAL = """
columns = ["age", "dose"]
n_clusters = 3

[[parties]]
name = "clinic"

[[parties]]
name = "lab"

[scaling]
lower = [0, 0]
upper = [120, 50.5]
"""
SESSION = "5e" * 32
"""The session of a fit, whose model a prediction takes."""
PREDICTION = f'''
task = "predict"
model = "{SESSION}"
''' + MINIMAL.lstrip()
FINGERPRINTS = ["ab" * 32, "0123456789abcdef" * 4, "f" * 64]
FULL = f"""
protocol = "shk"
task = "fit"
columns = ["age", "dose"]
n_clusters = 2
init = "k-means++"
n_init = 7
max_iter = 50
tol = 1e-6
min_cluster_size = 3
seed = 11
centroids = [[1, 2.5], [100, 50]]
precision_bits = 20
engine = "crypten"
hide_counts = false
disclose = {{ centroids = "all" }}
reveal_inertia = false
reveal_mean_distance = true
timeout = 12
purpose = "Opening hours"
contact = "the desk, 555-0100"
parties = [
    {{ name = "clinic", address = "clinic.example:7100", fingerprint = "{FINGERPRINTS[0]}" }},
    {{ name = "lab", address = "[2001:db8::1]:7100", fingerprint = "{FINGERPRINTS[1]}" }},
]

[dealer]
address = "192.0.2.7:65535"
fingerprint = "{FINGERPRINTS[2]}"

[scaling]
method = "minmax"
lower = [0, 0]
upper = [120, 50.5]
"""


def changed(**replacements: str) -> str:
    """The full example with other values, in TOML."""
    text = FULL
    for key, value in replacements.items():
        text, found = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
        assert found == 1, key
    return text
