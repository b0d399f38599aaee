//! The image's recipe.

use lab::{image, state};

use crate::file;

/// An instruction and the rest of its line; continued lines are one.
fn instructions() -> Vec<(String, String)> {
    let text = file("deploy/Dockerfile").replace("\\\n", " ");
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let parts = lines.map(|line| line.split_once(' ').unwrap());
    parts
        .map(|(word, rest)| (word.to_owned(), rest.trim().to_owned()))
        .collect()
}

fn all<'a>(instructions: &'a [(String, String)], word: &'a str) -> impl Iterator<Item = &'a str> {
    let those = instructions.iter().filter(move |(found, _)| found == word);
    those.map(|(_, rest)| rest.as_str())
}

#[test]
fn the_last_stage_holds_the_binary_and_runs_it_as_nobody() {
    let instructions = instructions();
    let last = instructions.iter().rposition(|(word, _)| word == "FROM").unwrap();
    let (build, image) = instructions.split_at(last);

    let toolchain = file("rust-toolchain.toml");
    let version = toolchain.split('"').nth(1).unwrap();
    let base = all(build, "FROM").next().unwrap();
    let tag = base.strip_prefix("rust:").unwrap().split('-').next().unwrap();
    assert!(version.starts_with(tag), "{base} is not the toolchain {version}");
    assert!(
        base.contains("alpine") && base.ends_with(" AS build"),
        "musl: {base}"
    );
    assert_eq!(image[0], ("FROM".into(), "scratch".into()));
    assert_eq!(all(image, "COPY").collect::<Vec<_>>(), ["--from=build /image/ /"]);
    assert_eq!(
        all(image, "USER").collect::<Vec<_>>(),
        [format!("{0}:{0}", image::USER)]
    );
    assert_eq!(all(image, "ENV").collect::<Vec<_>>(), ["PATH=/usr/local/bin"]);
    assert_eq!(
        all(image, "ENTRYPOINT").collect::<Vec<_>>(),
        ["[\"/usr/local/bin/twintor\"]"]
    );
    assert_eq!(all(image, "RUN").count(), 0, "there is nothing to run");
    let steps = all(build, "RUN").collect::<String>();
    for step in [
        "--release --locked --package twintor",
        "setcap cap_net_bind_service=p /image/usr/local/bin/twintor",
        "ln -s /usr/local/bin/twintor /image/kube-ovn/kube-ovn-speaker",
    ] {
        assert!(steps.contains(step), "{step}: {steps}");
    }
}

#[test]
fn what_it_copies_is_there_and_is_the_whole_workspace() {
    let instructions = instructions();
    let copied = all(&instructions, "COPY").filter(|rest| !rest.starts_with("--from"));
    let mut sources = Vec::new();
    for rest in copied {
        let words = rest.split_whitespace().collect::<Vec<_>>();
        sources.extend(words[..words.len() - 1].iter().map(|word| (*word).to_owned()));
    }
    let root = state::workspace().unwrap();
    let ignore = file(".dockerignore");
    for source in &sources {
        assert!(root.join(source).exists(), "{source}");
        assert!(
            ignore.lines().any(|line| line == format!("!{source}")),
            "{source} is ignored"
        );
    }
    let manifest = file("Cargo.toml");
    let members = manifest.lines().find(|line| line.starts_with("members")).unwrap();
    for member in members.split('"').skip(1).step_by(2) {
        let top = member.split('/').next().unwrap();
        assert!(
            sources.iter().any(|source| source == top),
            "{member} is not copied"
        );
    }
}

/// Only where `cargo lab image` has left its binary: building it takes minutes.
#[test]
fn a_static_binary_runs_alone() {
    let binary = image::path().unwrap();
    if binary.exists() {
        let findings = image::check(&binary).unwrap();
        assert!(findings.size < image::LIMIT);
    }
}
