import os

import torch
from hypothesis import settings

os.environ["GLOO_SOCKET_IFNAME"] = "lo"
torch.set_num_threads(1)  # forked ranks and OpenMP's threads do not mix

settings.register_profile("shared machines", deadline=None)  # speed belongs in benchmarks
settings.load_profile("shared machines")
