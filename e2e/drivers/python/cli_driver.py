"""The driver of the aws CLI, version 1. Each command is a process of its own,
as from a shell, but forked from one that has imported the program and read its
models: starting it anew for each command would take most of the time."""

import base64
import contextlib
import json
import os
import re
import sys
import tempfile

import awscli
import awscli.clidriver

from scenario import LIMIT, Failed, Scenario, Skip, check, record


class CLI(Scenario):
    client, version, protocol = "aws CLI", awscli.__version__, "JSON, HTTP/1.1"
    page_size = 1000  # a command a page
    singly = (0, 1, 9, 10)

    def __init__(self):
        super().__init__()
        os.environ["AWS_ENDPOINT_URL_KINESIS"] = os.environ["FIREHOSED_ENDPOINT"]
        self.program = awscli.clidriver.create_clidriver()
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            check(self.program.main(["kinesis", "list-streams"]) == 0, "aws kinesis list-streams")

    def aws(self, *args, env=()):
        """Runs aws kinesis with arguments; gives the exit status and what it prints."""
        return self.finish(self.begin(args, env))

    def begin(self, args, env=()):
        out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        pid = os.fork()
        if pid == 0:
            status = 70
            try:
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                os.environ.update(env)
                status = self.program.main(["kinesis", *args]) or 0
                sys.stdout.flush()
                sys.stderr.flush()
            except SystemExit as e:
                status = e.code or 0
            finally:
                os._exit(status)
        return args, pid, out, err

    def finish(self, command):
        args, pid, out, err = command
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        out.seek(0)
        err.seek(0)
        out, err = out.read().decode(), err.read().decode()
        if status != 0:
            code = re.search(r"An error occurred \((\w+)\) when calling", err)
            raise Failed(code.group(1) if code else f"status {status}", f"aws kinesis {args}: status {status}: {err.strip()}")
        return json.loads(out) if out.strip() else {}

    def call(self, operation, env=(), **members):
        return self.parse(self.aws(*self.arguments(operation, members), env=env))

    def arguments(self, operation, members):
        command = re.sub(r"(?<!^)(?=[A-Z])", "-", operation).lower()
        args = [command]
        if operation == "PutRecord":
            file = tempfile.NamedTemporaryFile(delete=False, dir=self.folder)
            file.write(members.pop("Data"))
            file.close()
            args += ["--data", "fileb://" + file.name]
        if operation == "PutRecords":
            # Bytes in JSON are text to version 1: each goes as the character of its number.
            members["Records"] = [r | {"Data": r["Data"].decode("latin-1")} for r in members["Records"]]
        if operation == "ListShards":
            args += ["--no-paginate"]
        file = tempfile.NamedTemporaryFile("w", delete=False, dir=self.folder, suffix=".json")
        json.dump(members, file)
        file.close()
        return [*args, "--cli-input-json", "file://" + file.name, "--output", "json"]

    def parse(self, out):
        for r in out.get("Records", []):
            if "Data" in r:
                r["Data"] = self.bytes(base64.b64decode(r["Data"], validate=True))
        return out

    @staticmethod
    def bytes(data):
        if data in (record(n)[2] for n in CLI.singly):
            return data
        return data.decode().encode("latin-1")

    def sent_time(self, seconds):
        return int(seconds)  # version 1 sends whole seconds

    def wait_exists(self):
        self.aws("wait", "stream-exists", "--stream-name", self.stream)

    def wait_gone(self):
        self.aws("wait", "stream-not-exists", "--stream-name", self.stream)

    def fanout(self):
        self.deregister(self.register())
        raise Skip("the CLI has no subscribe-to-shard; it registers, lists and deregisters consumers")

    def throttle(self):
        self.big_put()
        once, patient = {"AWS_MAX_ATTEMPTS": "1"}, {"AWS_MAX_ATTEMPTS": "12", "AWS_RETRY_MODE": "standard"}
        it = self.call(
            "GetShardIterator", env=patient, StreamName=self.throttled, ShardId="shardId-000000000000", ShardIteratorType="LATEST"
        )["ShardIterator"]
        big = {"StreamName": self.throttled, "Records": [{"Data": b"x" * 102400, "PartitionKey": "k"}] * 30}
        self.call("PutRecords", env=patient, **big)
        self.call("PutRecord", env=patient, StreamName=self.throttled, Data=b"x" * 102400, PartitionKey="k")
        # A command takes longer than a fifth of a second: eight at a time, until one is refused.
        codes = set()
        for _ in range(LIMIT):
            commands = [self.begin(self.arguments("GetRecords", {"ShardIterator": it}), once) for _ in range(8)]
            for c in commands:
                try:
                    self.finish(c)
                except Failed as e:
                    codes.add(e.code)
            if codes:
                break
        check(codes == {"ProvisionedThroughputExceededException"}, f"GetRecords is answered with {codes}")
        self.call("GetRecords", env=patient, ShardIterator=it)


with tempfile.TemporaryDirectory() as folder:
    CLI.folder = folder
    sys.exit(0 if CLI().run() else 1)
