"""The process that computes, and the client that starts it and talks to it in JSON lines.

Importing this package needs the standard library alone, so that an application can start the process without
torch.

One JSON object a line. To the process: {"op": "reconstruct", "id", "request": {...}}, {"op": "read", "id",
"request": {...}} (files that nobody trusts), {"op": "mask", "id", "request": {...}} (the brain in a stack),
{"op": "cancel", "id"}, {"op": "ping", "id"}, {"op":
"shutdown"}. From it: {"id", "event": "progress", "step", "fraction", "remaining_s"}, {"id", "event": "done",
"result"}, {"id", "event": "error", "kind": "input|cancelled|memory|internal", "message", "log"}, {"id",
"event": "pong", "pid"}. Requests are done one after the other, in the order in which they came.
"""

from .client import WorkerClient
from .job import Job, JobInSteps, Steps, WorkerError

__all__ = ["Job", "JobInSteps", "Steps", "WorkerClient", "WorkerError"]
