//! RFC 8684 derivations against known values.
