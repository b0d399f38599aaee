//! How the kernel spreads flows over the next hops of a route.

use std::fs;

/// `fib_multipath_hash_policy` of this network namespace; `None` where it cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashPolicies {
    /// For IPv4.
    pub v4: Option<u8>,
    /// For IPv6.
    pub v6: Option<u8>,
}

impl HashPolicies {
    /// Asks the kernel, for the network namespace of this thread.
    pub(super) fn read() -> Self {
        let read = |family: &str| {
            let path = format!("/proc/sys/net/{family}/fib_multipath_hash_policy");
            fs::read_to_string(path).ok()?.trim().parse().ok()
        };
        Self {
            v4: read("ipv4"),
            v6: read("ipv6"),
        }
    }
}

/// What to set so that flows between the same two addresses are spread as well; `None` if nothing.
pub fn advice(v6: bool, policy: Option<u8>) -> Option<&'static str> {
    match (policy, v6) {
        // 0 hashes the two addresses only; 1 ports too; 2 the inner packet's addresses; 3 chosen fields.
        (Some(0), false) => Some("set sysctl net.ipv4.fib_multipath_hash_policy=1"),
        (Some(0), true) => Some("set sysctl net.ipv6.fib_multipath_hash_policy=1"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_policy_that_looks_at_no_ports_is_worth_a_word() {
        for v6 in [false, true] {
            assert!(advice(v6, Some(0)).is_some_and(|text| text.contains(if v6 { "ipv6" } else { "ipv4" })));
            for other in [None, Some(1), Some(2), Some(3), Some(255)] {
                assert_eq!(advice(v6, other), None);
            }
        }
    }

    #[test]
    fn the_kernel_tells_its_policies() {
        assert!(HashPolicies::read().v4.is_some());
    }
}
