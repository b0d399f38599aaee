//! peering/bgp
