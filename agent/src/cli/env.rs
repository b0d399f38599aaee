use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses of the pod this runs in, from `POD_IPS` or `POD_IP`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodIps {
    /// The IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// The IPv6 address.
    pub v6: Option<Ipv6Addr>,
}

impl PodIps {
    /// Reads a comma list of at most one address of each family. Anything else is as if there were none, and the
    /// second value says so in one line.
    pub(super) fn read(variable: &str, list: &str) -> (Self, Option<String>) {
        let parts: Vec<_> = list
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .collect();
        let mut ips = Self::default();
        for part in &parts {
            let taken = match part.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
                Ok(IpAddr::V4(ip)) => ips.v4.replace(ip).is_some(),
                Ok(IpAddr::V6(ip)) => ips.v6.replace(ip).is_some(),
                Err(_) => {
                    let warning = format!("{variable}={list:?} is ignored: {part:?} is no IP address");
                    return (Self::default(), Some(warning));
                }
            };
            if taken {
                let warning = format!(
                    "{variable}={list:?} is ignored: it must hold at most one IPv4 and one IPv6 address"
                );
                return (Self::default(), Some(warning));
            }
        }
        (ips, None)
    }
}
