use super::*;
use crate::cli::{self, Command};
use net::bfd::{Auth, AuthType, Key};
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).expect("writable");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("allowed");
        path
    }

    /// One plane with these settings, and BFD as said.
    fn resolve_with(&self, settings: &str, bfd: &str, args: &[&str]) -> Result<Resolved, String> {
        let all = [
            "twintor",
            "run",
            "--node-name=n1",
            "--manifests=/m",
            "--config=c.yaml",
        ];
        let all = all.iter().chain(args).map(OsString::from);
        let Ok(Command::Run(flags)) = cli::parse(all, |_| None) else {
            panic!("{args:?}");
        };
        let text = format!(
            "apiVersion: twintor.io/v1alpha1\nkind: SpeakerConfig\nlocalAs: 65000\nplanes:\n\
             - {{name: a, neighbors: [10.1.1.1], as: 65030{settings}}}\ndefaults:\n  bfd: {bfd}\n"
        );
        let document = Document {
            name: "c.yaml",
            text: &text,
            directory: self.0.path(),
        };
        resolve(Some(document), &flags, &NodeFacts::default()).map_err(|error| error.to_string())
    }

    fn profile(&self, settings: &str, bfd: &str) -> fabric::BfdProfile {
        let mut resolved = self
            .resolve_with(settings, bfd, &[])
            .unwrap_or_else(|error| panic!("{bfd}: {error}"));
        assert_eq!(resolved.warnings, [""; 0]);
        resolved.neighbors.remove(0).bfd.expect("on")
    }

    fn refused(&self, settings: &str, bfd: &str) -> String {
        self.resolve_with(settings, bfd, &[]).expect_err(bfd)
    }
}

#[test]
fn a_profile_says_role_ttl_and_how_long_bgp_waits() {
    let files = Files::new();
    let plain = files.profile("", "{}");
    assert_eq!((plain.passive, plain.min_ttl, plain.strict), (false, None, None));
    let all = files.profile(
        ", multihop: 3",
        "{passive: true, minTtl: 250, strict: true, strictHoldTime: 5s}",
    );
    assert_eq!((all.passive, all.min_ttl), (true, Some(250)));
    assert_eq!(
        all.strict.map(|strict| strict.hold_time),
        Some(Duration::from_secs(5))
    );
    let strict = files.profile("", "{strict: true}").strict;
    assert_eq!(strict, Some(fabric::BfdStrict::DEFAULT));
}

#[test]
fn keys_come_from_files_that_are_followed_and_go_nowhere_else() {
    let files = Files::new();
    let (one, two) = (files.write("one", b"tomato\n"), files.write("two", b"cucumber"));
    let bfd = "{auth: {type: meticulous-sha1, keyId: 1, keyFile: one, accept: [{keyId: 2, keyFile: two}]}}";
    let mut resolved = files.resolve_with("", bfd, &[]).expect("good");
    let shown = format!("{resolved:?}");
    assert!(
        !shown.contains("tomato") && !shown.contains("cucumber"),
        "{shown}"
    );
    assert_eq!(resolved.password_files, [one.clone(), two]);
    let auth = resolved.neighbors.remove(0).bfd.expect("on").auth.expect("some");
    let same = Auth::new(AuthType::MeticulousKeyedSha1, Key::new(1, b"tomato")).expect("fits");
    assert_eq!(auth, same.accepting(Key::new(2, b"cucumber")).expect("fits"));

    for (name, auth_type) in [
        ("simple", AuthType::SimplePassword),
        ("keyed-md5", AuthType::KeyedMd5),
        ("meticulous-md5", AuthType::MeticulousKeyedMd5),
        ("keyed-sha1", AuthType::KeyedSha1),
    ] {
        let auth = files
            .profile("", &format!("{{auth: {{type: {name}, keyId: 1, keyFile: one}}}}"))
            .auth;
        assert_eq!(auth.map(|auth| auth.auth_type()), Some(auth_type));
    }
    let without = files.profile(", bfd: {auth: {type: none}}", bfd);
    assert_eq!(without.auth, None, "a plane can do without");

    std::fs::set_permissions(&one, std::fs::Permissions::from_mode(0o644)).expect("allowed");
    let warnings = files.resolve_with("", bfd, &[]).expect("good").warnings;
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].contains("the BFD key file") && warnings[0].contains("chmod o-r it"),
        "{warnings:?}"
    );
}

#[test]
fn settings_that_cannot_be_meant_are_refused_with_the_remedy() {
    let files = Files::new();
    files.write("key", b"tomato");
    files.write("empty", b"\n");
    files.write("long", b"xxxxxxxxxxxxxxxxxxxxx");
    for (settings, bfd, expected) in [
        (
            "",
            "{minTtl: 250}",
            "defaults.bfd.minTtl: counts over several hops only",
        ),
        (
            ", multihop: 2",
            "{minTtl: 0}",
            "defaults.bfd.minTtl: \"0\" does not fit; write a whole number from 1 to 255",
        ),
        (
            "",
            "{strictHoldTime: 5s}",
            "defaults.bfd.strictHoldTime: is a setting of strict mode, which is off here; set strict: true",
        ),
        (
            "",
            "{strict: true, strictHoldTime: 1500ms}",
            "\"1500ms\" is no hold time of strict mode; write 1s to 65535s",
        ),
        (
            "",
            "{strict: true, strictHoldTime: 0s}",
            "\"0s\" is no hold time of strict mode",
        ),
        ("", "{auth: {keyId: 1, keyFile: key}}", "missing field `type`"),
        (
            "",
            "{auth: {type: sha1, keyId: 1, keyFile: key}}",
            "defaults.bfd.auth.type: \"sha1\" is no type of authentication; write meticulous-sha1",
        ),
        (
            "",
            "{auth: {type: simple, keyId: 1}}",
            "defaults.bfd.auth: has no keyFile; name a file with the key",
        ),
        (
            "",
            "{auth: {type: simple, keyFile: key}}",
            "defaults.bfd.auth: has no keyId",
        ),
        (
            "",
            "{auth: {type: simple, keyId: 256, keyFile: key}}",
            "defaults.bfd.auth.keyId: \"256\" does not fit; write a whole number from 0 to 255",
        ),
        (
            "",
            "{auth: {type: simple, keyId: 1, keyFile: \"\"}}",
            "defaults.bfd.auth.keyFile: is empty; name a file",
        ),
        (
            "",
            "{auth: {type: simple, keyId: 1, keyFile: missing}}",
            "missing cannot be read",
        ),
        (
            "",
            "{auth: {type: simple, keyId: 1, keyFile: empty}}",
            "empty secret of key 1 has 0 octets: use 1 to 16",
        ),
        (
            "",
            "{auth: {type: keyed-sha1, keyId: 1, keyFile: long}}",
            "long secret of key 1 has 21 octets: use 1 to 20",
        ),
        (
            "",
            "{auth: {type: simple, keyId: 1, keyFile: key, accept: [{keyId: 1, keyFile: key}]}}",
            "defaults.bfd.auth.accept[0].keyFile: ",
        ),
        (
            "",
            "{auth: {type: simple, keyId: 1, keyFile: key, accept: [{keyId: 1, keyFile: key}]}}",
            "key ID 1 is given twice",
        ),
    ] {
        let error = files.refused(settings, bfd);
        assert!(
            error.starts_with("c.yaml:") && error.contains(expected),
            "{bfd}: {error}"
        );
        assert!(!error.contains("tomato") && !error.contains("xxx"), "{error}");
    }
}

#[test]
fn what_will_surprise_is_said_once_wherever_it_comes_from() {
    let files = Files::new();
    let warnings = |bfd: &str, args: &[&str]| files.resolve_with("", bfd, args).expect("good").warnings;
    let short = warnings("{minTx: 5ms}", &[]);
    assert_eq!(short.len(), 1);
    assert!(
        short[0].contains("raise bfd.minTx and bfd.minRx of plane a"),
        "{short:?}"
    );
    assert_eq!(warnings("{minTx: 10ms}", &[]), [""; 0]);
    assert_eq!(
        warnings("{}", &["--enable-bfd", "--bfd-min-tx=5"]),
        [""; 0],
        "the flags have said so"
    );
    let restart = warnings("{}", &["--graceful-restart"]);
    assert_eq!(restart.len(), 1);
    assert!(
        restart[0].contains("C bit clear") && restart[0].contains("leave out bfd on plane a"),
        "{restart:?}"
    );
    assert_eq!(warnings("{enabled: false}", &["--graceful-restart"]), [""; 0]);
}
