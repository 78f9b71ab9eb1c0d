#!/usr/bin/env python3
"""Serves TensorZero's gateway from its PyPI package: tensorzero_gateway.py CONFIG PORT_FILE. The package binds a port of its own choice,
which is written to PORT_FILE."""
import os
import sys
import threading
import urllib.parse

import tensorzero

gateway = tensorzero._start_http_gateway(config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False)
with open(sys.argv[2] + ".new", "w", encoding="utf-8") as file:
    file.write(str(urllib.parse.urlsplit(gateway.base_url).port))
os.rename(sys.argv[2] + ".new", sys.argv[2])
threading.Event().wait()
