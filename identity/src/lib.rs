//! Who a site is: its certificate, the fingerprint that people compare, and TLS that trusts it.
