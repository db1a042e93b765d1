"""What is public to all roles of a run: the job and what follows from it."""

from secure_kmeans.job.agreed import NAME_PATTERN, Agreed, Name, Numbers, explain
from secure_kmeans.job.clustering import MOST_STARTS, USUAL_CLUSTERS, Clustering, Init, KMeansJob
from secure_kmeans.job.job import LONGEST_TEXT, LONGEST_TIMEOUT, SEEDS, Job, digest_of_keys
from secure_kmeans.job.roles import MOST_ROLES, RESERVED_NAMES, Endpoint, Kind, Party, Role, split_address
from secure_kmeans.job.scaling import LARGEST_MAGNITUDE, Scaling, ScalingMethod

__all__ = [
    "LARGEST_MAGNITUDE",
    "LONGEST_TEXT",
    "LONGEST_TIMEOUT",
    "MOST_ROLES",
    "MOST_STARTS",
    "NAME_PATTERN",
    "RESERVED_NAMES",
    "SEEDS",
    "USUAL_CLUSTERS",
    "Agreed",
    "Clustering",
    "Endpoint",
    "Init",
    "Job",
    "KMeansJob",
    "Kind",
    "Name",
    "Numbers",
    "Party",
    "Role",
    "Scaling",
    "ScalingMethod",
    "digest_of_keys",
    "explain",
    "split_address",
]
