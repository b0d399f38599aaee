//! Readers for the types of flags, with the rules of pflag. Each error says what is wrong with the value; which
//! flag and which value is said by the caller.

use std::net::{IpAddr, SocketAddr};

/// Go's `strconv.ParseBool`.
pub(super) fn read_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err("not a boolean; use true or false".to_owned()),
    }
}

/// Go's `strconv.ParseUint` with base 0, up to `max`: decimal, `0x`, `0o` or leading `0`, `0b`; underscores
/// between digits where there is a prefix.
pub(super) fn read_uint(text: &str, max: u64) -> Result<u64, String> {
    let invalid = || format!("not a whole number from 0 to {max}");
    let lower = text.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    let digits = if radix == 10 {
        digits.to_owned()
    } else {
        digits.replace('_', "")
    };
    if !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(invalid());
    }
    let value = u64::from_str_radix(&digits, radix).map_err(|_| invalid())?;
    if value > max {
        return Err(invalid());
    }
    Ok(value)
}

/// klog's level: a decimal 32-bit number, negative ones too.
pub(super) fn read_int(text: &str) -> Result<i32, String> {
    text.parse().map_err(|_| "not a whole number".to_owned())
}

/// pflag's IP: an empty text is no address.
pub(super) fn read_ip(text: &str) -> Result<Option<IpAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let ip = parse_ip(text).ok_or_else(|| format!("failed to parse IP: {text:?}"))?;
    Ok(Some(ip))
}

/// pflag's IP slice: quotes are stripped, then one CSV record of which each field is trimmed. An empty text is an
/// empty list.
pub(super) fn read_ips(text: &str) -> Result<Vec<IpAddr>, String> {
    let plain: String = text.chars().filter(|c| !"\"'`".contains(*c)).collect();
    let record = plain.lines().next().unwrap_or_default();
    if record.is_empty() {
        return Ok(Vec::new());
    }
    let fields = record.split(',').map(str::trim);
    let ips = fields.map(|field| {
        let ip = parse_ip(field);
        ip.ok_or_else(|| format!("invalid string being converted to IP address: {field}"))
    });
    ips.collect()
}

/// `host:port`, `:port` for all addresses, or a bare port.
pub(super) fn read_socket(text: &str) -> Result<SocketAddr, String> {
    let invalid = || "not an address and a port; write 0.0.0.0:10667, [::]:10667 or :10667".to_owned();
    let port = text.strip_prefix(':').unwrap_or(text);
    if let Ok(port) = port.parse::<u16>() {
        return Ok(SocketAddr::from(([0, 0, 0, 0], port)));
    }
    text.parse().map_err(|_| invalid())
}

fn parse_ip(text: &str) -> Option<IpAddr> {
    let ip: IpAddr = text.trim().parse().ok()?;
    // As in Go, `::ffff:10.0.0.1` is the IPv4 address.
    Some(ip.to_canonical())
}
