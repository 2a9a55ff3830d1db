"""What is wrong, and what cures it: the data before it is trained on, and a recommender at work."""

from vecrec.diagnosis.data import diagnose_data
from vecrec.diagnosis.findings import Finding
from vecrec.diagnosis.system import diagnose_system, installed

__all__ = ["Finding", "diagnose_data", "diagnose_system", "installed"]
