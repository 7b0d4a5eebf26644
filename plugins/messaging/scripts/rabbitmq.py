"""Moves a RabbitMQ broker: "prepare" copies its definitions, "drain" empties its queues into those of the new one.

It speaks to the management interfaces of both ends; the shovels run at the new end. Each end's mirrored resources are
mounted below /from and /to, one folder each.
"""

import base64
import glob
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

PREFIX = "resource-broker-"
SETTING = os.environ.get


def fail(message):
    """Ends the script; the kubelet shows the file as the container's termination message."""
    try:
        with open(SETTING("TERMINATION_LOG", "/dev/termination-log"), "w", encoding="utf-8") as file:
            file.write(message)
    except OSError:
        pass
    sys.exit(message)


class End:
    """One of the two brokers."""

    def __init__(self, name):
        self.name = name
        self.vhost = urllib.parse.quote(SETTING("VHOST", "/"), safe="")
        self.user = self.need("USERNAME_KEYS")
        self.password = self.need("PASSWORD_KEYS")
        address = self.value("MANAGEMENT_KEYS")
        self.management = address or f"http://{self.need('HOST_KEYS')}:{SETTING('MANAGEMENT_PORT', '15672')}"

    def value(self, keys):
        """The first of the keys that the end has."""
        for key in SETTING(keys, "").split():
            for path in sorted(glob.glob(f"{SETTING('ENDS', '')}/{self.name}/*/{key}")):
                with open(path, encoding="utf-8") as file:
                    return file.read().strip()
        return None

    def need(self, keys):
        """The same, and a failure if it has none of them."""
        found = self.value(keys)
        if not found:
            fail(f"none of the related resources mounted from the {self.name} end has a key called any of: {SETTING(keys)}")
        return found

    def amqp(self):
        """The address for a shovel, credentials included."""
        address = self.value("URI_KEYS")
        if address:
            return address
        user, password = (urllib.parse.quote(each, safe="") for each in (self.user, self.password))
        port = self.value("PORT_KEYS") or "5672"
        return f"amqp://{user}:{password}@{self.need('HOST_KEYS')}:{port}/{self.vhost}"

    def call(self, method, path, body=None):
        """One request to the management interface; None where there is nothing."""
        request = urllib.request.Request(f"{self.management.rstrip('/')}/api/{path}", method=method)
        login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        request.add_header("authorization", f"Basic {login}")
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            request.add_header("content-type", "application/json")
        try:
            with urllib.request.urlopen(request, data, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            if error.code == 404 and method in ("GET", "DELETE"):
                return None
            fail(f"the {self.name} end answers {error.code} to {method} {path.split('?')[0]}")
        except OSError as error:
            fail(f"the {self.name} end cannot be reached for {method} {path.split('?')[0]}: {error}")
        return json.loads(text) if text else None


def definitions_of(old):
    """What the virtual host of the old end has; a failure if there is no such virtual host, which is no empty one."""
    definitions = old.call("GET", f"definitions/{old.vhost}")
    if definitions is None:
        fail(f"the {old.name} end has no virtual host {SETTING('VHOST', '/')!r}: set migration.rabbitmq.vhost to the one to move")
    return definitions


def prepare(old, new):
    """Copies exchanges, queues, bindings and policies. Users and permissions are each end's own."""
    definitions = definitions_of(old)
    kept = {name: definitions.get(name, []) for name in ("exchanges", "queues", "bindings", "policies")}
    new.call("POST", f"definitions/{new.vhost}", kept)
    print(f"{len(kept['queues'])} queues and {len(kept['exchanges'])} exchanges are at the new end", flush=True)


def shovel_path(new, queue):
    """Where the parameter of a queue's shovel is."""
    return f"parameters/shovel/{new.vhost}/{urllib.parse.quote(PREFIX + queue, safe='')}"


def drain(old, new):
    """Shovels every queue over until the old end is empty and quiet, then removes the shovels."""
    definitions = definitions_of(old)
    queues = sorted(queue["name"] for queue in definitions.get("queues", []))
    for queue in queues:
        shovel = {
            "src-protocol": "amqp091",
            "src-uri": old.amqp(),
            "src-queue": queue,
            "src-prefetch-count": int(SETTING("PREFETCH", "1000")),
            "dest-protocol": "amqp091",
            "dest-uri": new.amqp(),
            "dest-queue": queue,
            "ack-mode": "on-confirm",
        }
        new.call("PUT", shovel_path(new, queue), {"value": shovel})
    wait_until_quiet(old, queues)
    for queue in queues:
        new.call("DELETE", shovel_path(new, queue))


def wait_until_quiet(old, queues):
    """Until no queue has had a message for a while."""
    poll, wanted = int(SETTING("POLL_SECONDS", "15")), int(SETTING("QUIET_SECONDS", "300"))
    quiet, before = 0, None
    while True:
        listed = {queue["name"]: queue for queue in old.call("GET", f"queues/{old.vhost}") or []}
        known = [listed[name] for name in queues if name in listed]
        unknown = sorted(queue["name"] for queue in known if "messages" not in queue)
        left = sum(queue.get("messages", 0) for queue in known)
        published = sum(queue.get("message_stats", {}).get("publish", 0) for queue in known)
        quiet = quiet + poll if left == 0 and not unknown and published == before else 0
        before = published
        print(f"messages left at the old end: {left}; seconds without one: {quiet}", flush=True)
        if unknown:
            print(f"the old end does not say how many messages are in {', '.join(unknown[:20])}", flush=True)
        if left == 0 and not unknown and quiet >= wanted:
            return
        time.sleep(poll)


if __name__ == "__main__":
    STAGES = {"prepare": prepare, "drain": drain}
    STAGES[SETTING("STAGE")](End("from"), End("to"))
