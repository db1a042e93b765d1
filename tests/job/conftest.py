from pathlib import Path

import pytest

from secure_kmeans.errors import JobError
from secure_kmeans.protocols import read_job
from secure_kmeans.protocols.shk.job import ShkJob
from tests.job.job_files import Read, Refusal


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def reading(text: str | bytes) -> ShkJob:
        path = tmp_path / "job.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        job = read_job(path)
        assert isinstance(job, ShkJob)
        return job

    return reading


@pytest.fixture
def refusal(tmp_path: Path, read: Read) -> Refusal:
    def refused(text: str | bytes) -> str:
        with pytest.raises(JobError) as caught:
            read(text)
        said = str(caught.value)
        assert "\n" not in said
        assert said.startswith(f"{tmp_path / 'job.toml'}: ")
        return said.removeprefix(f"{tmp_path / 'job.toml'}: ")

    return refused
