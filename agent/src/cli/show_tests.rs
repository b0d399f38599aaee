use super::*;
use crate::cli::{CliError, Command, parse};
use std::ffi::OsString;

fn show(args: &[&str]) -> Result<Show, CliError> {
    let args = ["twintor"].iter().chain(args).map(OsString::from);
    match parse(args, |_| None)? {
        Command::Show(show) => Ok(show),
        Command::Run(_) => panic!("not twintor run"),
    }
}

fn refused(args: &[&str]) -> (u8, String) {
    let error = show(args).expect_err("must be refused");
    (error.exit_code(), error.to_string())
}

#[test]
fn defaults_and_flags() {
    let Ok(Show::Status(ShowStatus { common })) = show(&["status"]) else {
        panic!("not status");
    };
    assert_eq!((common.output, common.check), (Output::Table, false));
    assert_eq!(common.agent.authority(), "127.0.0.1:10667");

    let Ok(Show::Bfd(bfd)) = show(&["bfd", "fd00::1", "--counters", "-o", "json", "--check"]) else {
        panic!("not bfd");
    };
    assert_eq!(bfd.peer, "fd00::1".parse().ok());
    assert!(bfd.counters && bfd.common.check && bfd.common.output == Output::Json);

    let args = [
        "explain",
        "bfd",
        "10.0.0.1",
        "--pcap",
        "x",
        "--agent=http://[::1]:80/",
    ];
    let Ok(Show::Explain(Explain {
        what: ExplainWhat::Bfd(bfd),
    })) = show(&args)
    else {
        panic!("not explain bfd");
    };
    assert_eq!(bfd.pcap, Some(PathBuf::from("x")));
    assert_eq!(bfd.common.agent.authority(), "[::1]:80");
}

#[test]
fn errors_name_the_input() {
    let (code, text) = refused(&["bfd", "tor1"]);
    assert!(code == 2 && text.contains("tor1"), "{text}");
    let (code, text) = refused(&["status", "--nonsense"]);
    assert!(code == 2 && text.contains("--nonsense"), "{text}");
    let (code, text) = refused(&["status", "-o", "xml"]);
    assert!(code == 2 && text.contains("xml"), "{text}");
    for url in [
        "127.0.0.1:10667",
        "https://x:1",
        "http://x/path",
        "http://u@x:1",
        "http://",
    ] {
        let (code, text) = refused(&["status", "--agent", url]);
        assert!(
            code == 2 && text.contains("write http://HOST:PORT"),
            "{url}: {text}"
        );
    }
    assert_eq!(refused(&["explain"]).0, 2);
    let (code, text) = refused(&["bfd", "--help"]);
    assert!(code == 0 && text.contains("--counters"), "{text}");
}
