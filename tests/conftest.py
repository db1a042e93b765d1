import os

import torch

os.environ["GLOO_SOCKET_IFNAME"] = "lo"
torch.set_num_threads(1)  # forked ranks and OpenMP's threads do not mix
