"""Jobs as workers get them: which folder, how many threads and devices, how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autokd.core.job import Job, JobKind
from autokd.core.latency import LatencySpec
from autokd.core.record import TrialRecord
from autokd.core.settings import StudySettings
from autokd.study.appraise import Appraisal, Appraiser
from autokd.study.places import Places, clear_stop


@dataclass(frozen=True)
class JobMaker:
    """Makes the jobs of one study. ``cores`` is how many CPU cores a worker may use (1 where the CPU trains)."""

    settings: StudySettings
    places: Places
    appraiser: Appraiser
    cores: int = 1

    @property
    def share(self) -> float:
        """Devices that one ordinary job occupies."""
        return self.settings.gpus_per_trial if self.settings.device == "gpu" else 1.0

    @property
    def capacity(self) -> float:
        """Devices that all jobs together may occupy."""
        return self.settings.workers * self.share

    def probe(self, appraisal: Appraisal, deadline: float) -> Job:
        """Times a few steps of a pipeline's base model."""
        return self._job("probe", "probe", self.places.job("probe"), appraisal.pipeline, deadline, 0.0)

    def prefix(self, appraisal: Appraisal, deadline: float, *, alone: bool) -> Job:
        """Makes a pipeline's shared stages; ``alone`` with everything that the study has."""
        name = f"prefix-{appraisal.prefix}"
        macs = appraisal.prefix_macs
        if not alone:
            return self._job(name, "prefix", self.places.job(name), appraisal.pipeline, deadline, macs)
        on_cpu = self.settings.device == "cpu"
        devices = self.capacity if on_cpu else max(self.share, min(1.0, self.capacity))
        threads = self.settings.workers if on_cpu else self.cores
        return self._job(
            name, "prefix", self.places.job(name), appraisal.pipeline, deadline, macs, devices=devices, threads=threads
        )

    def trial(
        self,
        number: int,
        kind: JobKind,
        folder_number: int,
        pipeline: Mapping[str, Any],
        replicate: int,
        macs: float,
        deadline: float,
    ) -> Job:
        """Runs or goes on with trial ``number`` in the folder of trial ``folder_number``."""
        folder = self.places.trial(folder_number)
        return self._job(f"trial-{number}", kind, folder, pipeline, deadline, macs, replicate=replicate)

    def latency(self, trial: Job, deadline: float) -> Job:
        """Times the student that a trial's job has left in its folder, beside its teacher."""
        clear_stop(Path(trial.folder))
        return replace(trial, id=f"latency-{trial.id}", kind="latency", deadline_seconds=deadline, forecast_macs=0.0)

    def deploy(self, record: TrialRecord, folder_number: int, deadline: float) -> Job:
        """Makes, scores and times all forms of a run's checkpoint, in the folder of trial ``folder_number``."""
        folder, name = self.places.trial(folder_number), f"deploy-{record.number}"
        return self._job(name, "deploy", folder, record.pipeline, deadline, 0.0, replicate=record.replicate)

    @property
    def _latency(self) -> str:
        spec = LatencySpec.parse(self.settings.latency)
        return replace(spec, length=self.settings.latency_length or self.settings.max_length).text

    def _job(
        self,
        name: str,
        kind: JobKind,
        folder: Any,
        pipeline: Mapping[str, Any],
        deadline: float,
        macs: float,
        *,
        replicate: int = 0,
        devices: float | None = None,
        threads: int | None = None,
    ) -> Job:
        clear_stop(folder)
        return Job(
            id=name,
            kind=kind,
            spec=self.appraiser.spec(pipeline, replicate),
            folder=str(folder),
            deadline_seconds=deadline,
            devices=self.share if devices is None else devices,
            threads=self.cores if threads is None else threads,
            device=self.settings.device,
            lease=str(self.places.lease),
            forecast_macs=macs,
            latency=self._latency,
        )
