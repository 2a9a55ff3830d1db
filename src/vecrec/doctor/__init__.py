"""Findings with their cures: about data before training, and about a recommender at work."""

from vecrec.doctor.data import diagnose_data
from vecrec.doctor.findings import Finding
from vecrec.doctor.system import diagnose_system, installed

__all__ = ["Finding", "diagnose_data", "diagnose_system", "installed"]
