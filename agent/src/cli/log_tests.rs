use super::tests::{invalid, ok, syntax};
use tracing::level_filters::LevelFilter;

const TO_FILE: [&str; 2] = ["--logtostderr=false", "--log_file=/x"];

fn stderr(args: &[&str]) -> LevelFilter {
    ok(args).log.stderr
}

fn beside_file(args: &[&str]) -> LevelFilter {
    let all: Vec<_> = TO_FILE.iter().chain(args).copied().collect();
    stderr(&all)
}

#[test]
fn stderr_is_the_default_and_wins() {
    let log = ok(&[]).log;
    assert!(log.file.is_none() && log.stderr == LevelFilter::TRACE && !log.skip_headers);
    let ignored = ok(&["--log_file=/x"]);
    assert!(ignored.log.file.is_none());
    assert_eq!(
        ignored.warnings,
        ["the log file is not used: add --logtostderr=false"]
    );
    let nowhere = ok(&["--logtostderr=false"]);
    assert!(nowhere.log.file.is_none() && nowhere.log.stderr == LevelFilter::TRACE);
    assert_eq!(nowhere.warnings.len(), 1);
}

#[test]
fn thresholds_count_beside_a_file() {
    assert_eq!(beside_file(&[]), LevelFilter::ERROR);
    assert_eq!(beside_file(&["--stderrthreshold=WARNING"]), LevelFilter::WARN);
    assert_eq!(beside_file(&["--stderrthreshold=3"]), LevelFilter::OFF);
    assert_eq!(beside_file(&["--alsologtostderr"]), LevelFilter::TRACE);
    let new = "--legacy_stderr_threshold_behavior=false";
    assert_eq!(stderr(&[new, "--stderrthreshold=info"]), LevelFilter::TRACE);
    assert_eq!(stderr(&[new]), LevelFilter::ERROR);
    assert_eq!(
        beside_file(&[new, "--alsologtostderr", "--alsologtostderrthreshold=WARNING"]),
        LevelFilter::WARN
    );
}

#[test]
fn the_file_and_its_bounds() {
    let args = [
        "--logtostderr=false",
        "--log_dir=/var/log",
        "--log-perm=600",
        "--log_file_max_size=0",
    ];
    let file = ok(&args).log.file.expect("a file");
    assert_eq!(file.path, std::path::Path::new("/var/log/twintor.log"));
    assert_eq!((file.mode, file.max_size), (0o600, None));
    invalid(
        &["--log-perm=9"],
        "failed to parse log-perm \"9\"; write an octal mode such as 640",
    );
    syntax(
        &["--stderrthreshold=LOUD"],
        "invalid argument \"LOUD\" for \"--stderrthreshold\" flag: not a severity; use INFO, WARNING, ERROR or FATAL",
    );
}

#[test]
fn flags_without_effect_are_told_once() {
    let settings = ok(&[
        "--vmodule=a=2",
        "--one_output",
        "--skip_headers",
        "--skip_log_headers",
    ]);
    assert!(settings.log.skip_headers);
    assert_eq!(
        settings.warnings,
        [
            "--vmodule has no effect here; use -v",
            "--one_output has no effect here; leave it out"
        ]
    );
}
