"""Deletion requests to one model, answered one after another, with a ledger and a certificate for each.

A *model* is a name that ``cu requests open`` gives to a configuration: its data, its original, and a registered model
of MLflow of the same name, whose alias ``current`` is the version in use.

What lies in the storage:

``ledgers/MODEL/00000001.json, ...``
    One entry a file, canonical JSON, each with the hash of the one before. An entry's file is created exclusively and
    whole, so two writers cannot both be number N, and a killed writer leaves no entry or a whole one. The state of
    requests, versions and runs is computed from the entries alone (``state.py``). Entries hold no personal data:
    counts, digests of models, and digests of requests and rows keyed with the model's salt.
``ledgers/MODEL/rows/TOKEN.txt``
    The keyed hashes of the rows of a request, by which an id can be shown to be in it.
``intake/MODEL/``
    For the owner alone: the salt, and the requests as they were asked, with their reasons.
``requests/DIGEST/forget.arrow``
    Forget sets, as for every run. The ids of forgotten rows stay there: they say which rows no set may ever contain.
``runs/MODEL-run-N``
    The run that answered a batch. Its ``config.yaml`` has the union of all that was forgotten as the request, and is
    audited by ``cu audit`` as any run.

A batch is answered by two plans (``chain.py``). The *link* unlearns the new rows from the model that is current; rows
forgotten before are in no set (``ForgetSet.before``). The *judged* plan audits the result over the union of all that
was forgotten, against the first original and oracles that were trained without the union.

Rows that are forgotten may be taken out of the data (``drop.py``). The entry ``dropped`` names the requests and the new
digest; what is left of other requests is found under its new row numbers by arithmetic (``asked.py``), so that old
entries can be checked without the data of then.

The entry ``completed`` holds everything that a certificate says (``facts.py``). A certificate is that entry as an
in-toto statement, in a DSSE envelope (``certificate.py``), so ``verify.py`` can build it anew and name what differs.
"""
