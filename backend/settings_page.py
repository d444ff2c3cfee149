"""The page on settings; `python -m backend.settings_page > docs/settings.md` writes it, a test compares the two."""

from __future__ import annotations

import sys

from backend.settings import settings_table

INTRO = """\
# Settings

`openeo-embed serve` reads its settings once, at start: from the command line, else from the environment variables
below, else the defaults. `openeo-embed serve --help` lists those that have an option. A value that cannot be ends
the start with one line that names the variable or option, the value and what it may be; variables that begin with
`OPENEO_EMBED_` and are no settings are named in a warning. Yes and no are written 1 and 0. The limits of synchronous
requests are checked before anything is computed.
"""

STATE = """\
## Where things are kept

- Users, tokens, stored processes, batch jobs and their logs are in the database: DATA/users.sqlite, or PostgreSQL
  where `OPENEO_EMBED_DATABASE` is a URL such as `postgresql://user:password@host/name` (install
  `openeo-embed[postgres]`). A database of an earlier version is brought up to date at start; one of a later version
  is refused.
- DATA/results has the files of batch jobs, DATA/files what users have uploaded, DATA/ml_models the models that they
  have trained, and DATA/cache what was compiled where the server's user has no home to keep it in.
- A database belongs to one data folder and one server: what its jobs have produced is in that folder. A second server
  that is given the same database is refused at start.
"""

SECURITY = """\
## Who can reach the server

- It listens on loopback, 127.0.0.1, unless `--host` says otherwise. It speaks HTTP: beyond loopback, passwords and
  tokens travel unencrypted (a warning at start says so). Put a reverse proxy with TLS in front, set
  `OPENEO_EMBED_PUBLIC_URL` to the URL that it serves, and `OPENEO_EMBED_PROXIES` to the number of proxies: of so
  many, and of nobody else, `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
- The user demo, whose password everybody knows, exists only while a server with `--demo-user` runs on loopback.
  With another address `--demo-user` is refused, and so is starting with a demo user left over in the database. A
  reverse proxy on the same machine makes loopback public: leave `--demo-user` out there.
- All other users come from `openeo-embed user add`. Passwords are kept as argon2id hashes, access tokens as
  digests; both in the database, readable to its owner alone where it is the SQLite file of the data folder.
  After too many failed logins further ones from the same address are refused for a while.
- `openeo-embed user remove` deletes all that the user has: jobs, results, files, stored processes, trained models.
- Capabilities, collections, processes, file formats, validation, `/health` and `/ready` are public; all else needs a
  token and shows each user only their own. The links to results of batch jobs are the exception: they are signed, open
  without a token, and expire.
- The key of those signatures is made at the first start, in DATA/signing.key, readable to its owner alone; servers
  that share a data folder share it. Delete it, and start again, to make all links void.
- Whoever reaches the Dask scheduler can run any code. The server's own listens on 127.0.0.1 only, at a port of its
  choice, and any local user can reach it: share the machine with nobody you do not trust. A scheduler of your own
  (`--scheduler`) is taken on loopback, or with TLS and certificates on both sides: see [cluster.md](cluster.md).
- Processes read URLs that users name (`load_stac`, `load_url`): over https, from public addresses, checked after the
  name is resolved and at each redirect. `OPENEO_EMBED_FETCH_HOSTS` opens further hosts (`name`, `name:port`), over
  http too and whatever their address, to every user: list none that gives away more than users may see. Proxies of
  the environment are not used.
- Users' code (`run_udf`) runs in a sandbox, or not at all where the system offers none; see [udf.md](udf.md). With
  `OPENEO_EMBED_UDF=unsafe` whoever has an account can read what the server can.
- Logs hold no headers, bodies, passwords or tokens. A failure that is the server's fault is told to the client as
  an id; the reason stands in the log under it.
- DATA/run holds temporary files and a day's request logs; it is emptied whenever a server starts or stops. One
  server at a time uses a data folder.
"""

WATCHING = """\
## Watching it

- `/health` answers as long as the web process lives. `/ready` answers 200 when it can compute, and 503 with a list of
  what is `missing`: the Dask scheduler, a worker, the database, or `OPENEO_EMBED_DISK_BYTES` of free disk.
- `/metrics` is for Prometheus: requests by route, method and status and how long they took; jobs by state, and how long
  the one that waits longest has waited; workers and their memory; embeddings and bytes of all computations that are
  over, and the seconds of the workers' threads that they took, so that
  `rate(openeo_embed_embeddings_total[1h])` are embeddings per second. No label names a user, a job or a file. All web
  processes are added up; what is counted for requests begins anew when the server starts.
- `/metrics` is told to this machine alone (to no proxy, and to no web page in a browser here), or, where
  `OPENEO_EMBED_METRICS_TOKEN` is set, to whoever sends `Authorization: Bearer` with it. Behind a proxy on the same
  machine that adds neither `X-Forwarded-For` nor `Via`, set the token.
- With `OPENEO_EMBED_LOG_FORMAT=json` each line of the log is an object with `time`, `level`, `part` (which process),
  `message`, the `request` and `job` that it is about, and for requests `method`, `path`, `status`, `milliseconds`. The
  id of a request is also that of the error that it got.
- Workers and runners run at a lower priority than the web processes, so that answers do not wait for computations.
  Of `OPENEO_EMBED_WEB_THREADS`, six are kept for requests that neither compute nor wait for it.
- How fast the cluster embeds and loads is measured in every computation, and kept in the database; estimates of batch
  jobs use it. `OPENEO_EMBED_RESULT_DAYS` deletes the results of batch jobs that were over so long ago: such a job is
  *created* again, with its log.
"""


def settings_page() -> str:
    """Return the page as Markdown."""
    return "\n".join([INTRO, settings_table(), "", STATE, SECURITY, WATCHING]).rstrip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(settings_page())
