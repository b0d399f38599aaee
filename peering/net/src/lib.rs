//! peering/net
