#!/bin/bash
# Joins the nodes in NODES into one cluster, at the first of them. Run again, it finds them joined.
set -euo pipefail
read -r first others <<<"$NODES"
at="http://admin:$COUCHDB_PASSWORD@$first:5984"

setup() {
  curl --fail --silent --show-error --header 'Content-Type: application/json' --data "$1" "$at/_cluster_setup"
}

joined() {
  curl --fail --silent "$at/_membership"
}

for node in $others; do
  if joined | grep --quiet "\"couchdb@$node\""; then
    echo "$node is joined"
    continue
  fi
  about="\"remote_node\": \"$node\", \"port\": 5984, \"remote_current_user\": \"admin\", \"remote_current_password\": \"$COUCHDB_PASSWORD\""
  setup "{\"action\": \"enable_cluster\", \"bind_address\": \"0.0.0.0\", \"username\": \"admin\", \"password\": \"$COUCHDB_PASSWORD\", \"node_count\": 3, $about}" || true
  setup "{\"action\": \"add_node\", \"host\": \"$node\", \"port\": 5984, \"username\": \"admin\", \"password\": \"$COUCHDB_PASSWORD\"}"
done
curl --fail --silent "$at/_cluster_setup" | grep --quiet cluster_finished || setup '{"action": "finish_cluster"}'
joined
