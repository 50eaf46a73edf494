"""Assignments: released by nbgrader's preprocessors, graded in a sandbox by a judge outside it.

Student code runs in a worker inside bubblewrap, which gets the answer cells and then the inputs
of hidden probes, and returns plain JSON. The judge compares that with what its own answers
return; student code never meets it.
"""

from vgglab.grading.probes import Call, Probe, Randn, Ref, Tensor

__all__ = ["Call", "Probe", "Randn", "Ref", "Tensor"]
