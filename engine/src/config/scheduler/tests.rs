use super::*;
use std::string::ToString;

#[test]
fn every_name_and_alias_round_trips() {
    for doc in SCHEDULERS {
        let spec = SchedulerSpec::parse(doc.name).expect(doc.name);
        assert_eq!((spec.name(), spec.to_string().as_str()), (doc.name, doc.name));
        assert!(!doc.help.is_empty() && doc.help.len() < 110, "{}", doc.name);
        for alias in doc.aliases {
            assert_eq!(SchedulerSpec::parse(alias), Ok(spec.clone()), "{alias}");
        }
        for param in doc.params {
            let value = match param.kind {
                ParamKind::Switch(default) => Value::Switch(!default),
                ParamKind::Number(_, least, _) => Value::Number(least),
                ParamKind::Weights(_) => Value::Weights(std::vec![7, 2]),
            };
            let text = format!("{},{}={value}", doc.name, param.name);
            let spec = SchedulerSpec::parse(&text).expect(&text);
            assert_eq!(spec.to_string(), text);
            assert_eq!(SchedulerSpec::parse(&spec.to_string()), Ok(spec));
        }
    }
}

#[test]
fn mistakes_say_what_is_wrong_and_what_would_be_right() {
    for (text, why) in [
        ("minrt", "there is no scheduler `minrt`; did you mean `minrtt`?"),
        (
            "minrtt,penalize=off",
            "scheduler `minrtt` has no parameter `penalize`; did you mean `penalise`?",
        ),
        (
            "minrtt,penalise=maybe",
            "`penalise` of scheduler `minrtt` cannot be `maybe`; it is on or off, by default on",
        ),
        (
            "minrtt,ratio=0",
            "`ratio` of scheduler `minrtt` cannot be `0`; it is a number from 1 to 100, by default 4",
        ),
        (
            "minrtt,ratio=NaN",
            "`ratio` of scheduler `minrtt` cannot be `NaN`; it is a number from 1 to 100, by default 4",
        ),
        ("minrtt,ratio=2,ratio=3", "`ratio` of scheduler `minrtt` is given twice"),
        (
            "rr,weights=1",
            "scheduler `rr` has no parameter `weights`; it takes num_segments, cwnd_limited",
        ),
    ] {
        assert_eq!(SchedulerSpec::parse(text), Err(why.to_owned()));
    }
    let error = SchedulerSpec::parse("quickest").expect_err("unknown");
    assert!(error.contains("there are minrtt, "), "{error}");
    assert!(SchedulerSpec::parse("").is_err());
}

#[test]
fn parameters_have_defaults() {
    let spec = SchedulerSpec::parse("minrtt,penalise=off, ratio=2.5").expect("good");
    assert!(spec.switch("opportunistic") && !spec.switch("penalise"));
    assert!((spec.number("ratio") - 2.5).abs() < f64::EPSILON);
    assert!((SchedulerSpec::default().number("ratio") - 4.0).abs() < f64::EPSILON);
    assert!(spec.weights("ratio").is_empty() && !spec.switch("nothing"));
}
