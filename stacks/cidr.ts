import ipaddr from "ipaddr.js";

/** An IPv4 network as numbers, so that ranges can be compared. */
export interface CidrRange {
  readonly cidr: string;
  /** Prefix length, 0 to 32. */
  readonly prefix: number;
  /** Network address as an unsigned 32-bit number. */
  readonly first: number;
  /** Broadcast address as an unsigned 32-bit number. */
  readonly last: number;
}

/** @throws Error when `cidr` is no IPv4 network */
export function cidrRange(cidr: string): CidrRange {
  const prefix = ipaddr.IPv4.parseCIDR(cidr)[1];
  return {
    cidr,
    prefix,
    first: toNumber(ipaddr.IPv4.networkAddressFromCIDR(cidr)),
    last: toNumber(ipaddr.IPv4.broadcastAddressFromCIDR(cidr)),
  };
}

/** True when the two networks have an address in common. */
export function overlaps(left: CidrRange, right: CidrRange): boolean {
  return left.first <= right.last && right.first <= left.last;
}

/** The address at a place of a network: `addressIn("10.96.0.0/16", 50)` is `10.96.0.50`. */
export function addressIn(cidr: string, place: number): string {
  return toAddress(cidrRange(cidr).first + place);
}

/** `10.87.0.2 to 10.87.0.254` */
export function formatRange(first: number, last: number): string {
  return `${toAddress(first)} to ${toAddress(last)}`;
}

function toNumber(address: ipaddr.IPv4): number {
  return address.octets.reduce((sum, octet) => sum * 256 + octet, 0);
}

function toAddress(number: number): string {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join(".");
}
