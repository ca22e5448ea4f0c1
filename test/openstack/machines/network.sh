#!/bin/sh
# A machine's side of floating addresses and security groups. Run in its network namespace, by the machine itself before its cards
# are up and by the watcher whenever something changed: network.sh MACHINE_FOLDER
#   <folder>/../network/rules.nft     for nft
#   <folder>/../network/public        one line "NIC NETWORK" per card that is connected to the network of floating addresses
#   <folder>/../network/addresses     one line "NIC ADDRESS" per floating address
set -eu
network=$1/../network
nft --file "$network/rules.nft"
while read -r nic range; do
  ip link set dev "$nic" up
  ip route replace "$range" dev "$nic" scope link
  # The address is the machine's own so that it answers when neighbours look for it; packets never carry it further.
  ip -4 -oneline address show dev "$nic" label "$nic:public" | while read -r _ _ _ address _; do
    grep -qFx "$nic ${address%/*}" "$network/addresses" || ip address delete "$address" dev "$nic"
  done
done <"$network/public"
while read -r nic address; do
  ip address replace "$address/32" dev "$nic" label "$nic:public" noprefixroute
done <"$network/addresses"
