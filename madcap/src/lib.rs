//! Leases multicast addresses from a DHCP server by MADCAP (RFC 2730).
