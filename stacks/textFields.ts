import ipaddr from "ipaddr.js";
import { isLabelValue, labelKeyProblem } from "../components/labels";
import { DNS_LABEL_RULE, isDnsLabel } from "../components/naming";
import { type Field, text } from "./fields";

// Texts with rules that several parts of the settings share.

export function nodeName(): Field<string> {
  return text({
    problem: (name) => (isDnsLabel(name) ? undefined : "is not a DNS-1123 label"),
    allowed: `at most 63 ${DNS_LABEL_RULE}`,
  });
}

export function labelKey(): Field<string> {
  return text({
    problem: labelKeyProblem,
    allowed: "[prefix/]name, the name at most 63 of A-Z a-z 0-9 - _ .",
  });
}

export function labelValue(): Field<string> {
  return text({
    problem: (value) => (isLabelValue(value) ? undefined : "is not a label value"),
    allowed: "at most 63 of A-Z a-z 0-9 - _ . starting and ending with a letter or digit",
  });
}

export function notEmpty(allowed: string): Field<string> {
  return text({ problem: (value) => (value.trim() === "" ? "is empty" : undefined), allowed });
}

export function network(shortest: number, longest: number): Field<string> {
  return text({
    problem: (value) => networkProblem(value, shortest, longest),
    allowed: `an IPv4 network from /${shortest} to /${longest}, for example 10.87.0.0/${Math.min(longest, 24)}`,
  });
}

export function privateNetwork(shortest: number, longest: number): Field<string> {
  return text({
    problem: (value) =>
      networkProblem(value, shortest, longest) ??
      (ipaddr.IPv4.parseCIDR(value)[0].range() === "private" ? undefined : "is not a private network"),
    allowed: `a private IPv4 network from /${shortest} to /${longest}, for example 10.87.0.0/${longest}`,
  });
}

function networkProblem(value: string, shortest: number, longest: number): string | undefined {
  if (!/^\d+\.\d+\.\d+\.\d+\/\d+$/.test(value) || !ipaddr.IPv4.isValidCIDR(value)) {
    return "is not an IPv4 network in CIDR form";
  }
  const [address, prefix] = ipaddr.IPv4.parseCIDR(value);
  const first = ipaddr.IPv4.networkAddressFromCIDR(value).toString();
  if (address.toString() !== first) {
    return `is an address inside a network; the network is ${first}/${prefix}`;
  }
  if (prefix < shortest || prefix > longest) {
    return prefix < shortest ? "is too large" : "is too small";
  }
  return undefined;
}

export function addressProblem(value: string): string | undefined {
  return ipaddr.IPv4.isValidFourPartDecimal(value) ? undefined : "is not an IPv4 address";
}

export function hostProblem(value: string): string | undefined {
  const isName = value.length <= 253 && value.split(".").every((part) => isDnsLabel(part.toLowerCase()));
  return isName || ipaddr.isValid(value) ? undefined : "is not a host";
}
