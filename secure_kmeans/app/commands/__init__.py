"""Commands that the command line, a web page or a notebook can call.

A command returns a value or raises one of this package's errors; it prints nothing. Before anything is sent or
started, it calls ``announce`` with all that will be disclosed. An exception raised there ends the command.
"""

from secure_kmeans.app.commands.all_roles import cluster, rehearse
from secure_kmeans.app.commands.in_the_clear import cluster_in_the_clear
from secure_kmeans.app.commands.number_of_clusters import Elbow, elbow
from secure_kmeans.app.commands.one_role import check, new_identity, take_part
from secure_kmeans.app.commands.prediction import predict, predict_on_shares
from secure_kmeans.app.commands.values import (
    Announce,
    Announcement,
    Checked,
    NewIdentity,
    Predicted,
    RoleFiles,
    Run,
    Verified,
    no_announcement,
)
from secure_kmeans.app.commands.verification import verify
from secure_kmeans.app.inputs import Options

__all__ = [
    "Announce",
    "Announcement",
    "Checked",
    "Elbow",
    "NewIdentity",
    "Options",
    "Predicted",
    "RoleFiles",
    "Run",
    "Verified",
    "check",
    "cluster",
    "cluster_in_the_clear",
    "elbow",
    "new_identity",
    "no_announcement",
    "predict",
    "predict_on_shares",
    "rehearse",
    "take_part",
    "verify",
]
