//! The path manager by commands of `ip mptcp`.

use super::protocol::{Refusal, Reply};
use super::report::EndpointReport;
use crate::stack::Stack;
use mpuser_engine::PmEndpoint;
use mpuser_engine::addr::{AddressId, IpAddr};
use mpuser_engine::config::Limits;
use mpuser_engine::grammar::{
    self, Command, EndpointCommand, LimitsCommand, NewEndpoint, Selector,
};

const HELP: &str = "see `mpuser endpoint --help` and `mpuser limits --help`";

/// Does what a line of `ip mptcp` says.
pub(crate) fn command(stack: &Stack, line: &str) -> Result<Vec<Reply>, Refusal> {
    let refuse =
        |because: String, help: &str| Refusal::new(format!("cannot do `{line}`"), because, help);
    let command = grammar::parse_line(line).map_err(|error| refuse(error.to_string(), HELP))?;
    match command {
        Command::Endpoint(command) => endpoint(stack, &command),
        Command::Limits(command) => Ok(limits(stack, command)),
        Command::Monitor => Err("it is a request of its own".to_owned()),
    }
    .map_err(|because| refuse(because, "`mpuser endpoint show` lists what there is"))
}

fn limits(stack: &Stack, command: LimitsCommand) -> Vec<Reply> {
    stack.handle.with(|inner, now| {
        let Limits { subflows, add_addr_accepted } = inner.endpoint.limits();
        match command {
            LimitsCommand::Show => vec![Reply::Limits { add_addr_accepted, subflows }],
            LimitsCommand::Set { subflows: wanted, add_addr_accepted: accepted } => {
                let limits = Limits {
                    subflows: wanted.unwrap_or(subflows),
                    add_addr_accepted: accepted.unwrap_or(add_addr_accepted),
                };
                inner.endpoint.set_limits(now, limits);
                Vec::new()
            }
        }
    })
}

fn endpoint(stack: &Stack, command: &EndpointCommand<'_>) -> Result<Vec<Reply>, String> {
    match command {
        EndpointCommand::Show(id) => Ok(show(stack, *id)?),
        EndpointCommand::Flush => {
            stack.handle.with(|inner, now| inner.endpoint.flush_endpoints(now));
            Ok(Vec::new())
        }
        EndpointCommand::Add(new) => add(stack, new).map(|()| Vec::new()),
        EndpointCommand::Delete { id, address: Some(address) } if *id == AddressId(0) => {
            stack.handle.with(|inner, now| inner.endpoint.delete_initial_address(now, *address));
            Ok(Vec::new())
        }
        EndpointCommand::Delete { id, .. } => {
            let outcome = stack.handle.with(|inner, now| inner.endpoint.delete_endpoint(now, *id));
            outcome.map(|()| Vec::new()).map_err(|error| error.to_string())
        }
        EndpointCommand::Change { which, change } => stack.handle.with(|inner, now| {
            let all = inner.endpoint.endpoints();
            let known = all.iter().find(|known| is_meant(*which, known));
            let Some(PmEndpoint { id: Some(id), flags, .. }) = known else {
                return Err("address not found".to_owned());
            };
            let outcome = inner.endpoint.change_endpoint(now, *id, change.apply(*flags));
            outcome.map(|()| Vec::new()).map_err(|error| error.to_string())
        }),
    }
}

fn is_meant(which: Selector, known: &PmEndpoint) -> bool {
    which.id.is_none_or(|id| known.id == Some(id))
        && which.address.is_none_or(|address| known.address == address)
        && which.port.is_none_or(|port| known.port == Some(port))
}

/// The device of an address is that of the path it is behind; another one cannot be asked for.
fn add(stack: &Stack, new: &NewEndpoint<'_>) -> Result<(), String> {
    if let Some(dev) = new.dev {
        let stats = stack.path_stats();
        let there: Vec<&str> = stats.iter().map(|path| path.name.as_str()).collect();
        let own = stack.path_of(new.address);
        let fits = own.as_ref().is_some_and(|(name, outlet)| name == dev || outlet == dev);
        match own {
            _ if fits => {}
            Some((name, _)) => return Err(format!("{} is behind {name}, not {dev}", new.address)),
            None if there.contains(&dev) => {
                return Err(format!("{} is no address of {dev}", new.address));
            }
            None => {
                return Err(format!("there is no device {dev}; there are {}", there.join(", ")));
            }
        }
    }
    let NewEndpoint { address, id, port, flags, .. } = *new;
    let endpoint = PmEndpoint { address, id, port, flags };
    let outcome = stack.handle.with(|inner, now| inner.endpoint.add_endpoint(now, endpoint));
    outcome.map(drop).map_err(|error| error.to_string())
}

fn show(stack: &Stack, id: Option<AddressId>) -> Result<Vec<Reply>, String> {
    let all = stack.handle.with(|inner, _| inner.endpoint.endpoints());
    let wanted = |endpoint: &&PmEndpoint| id.is_none() || endpoint.id == id;
    let dev = |address: IpAddr| stack.path_of(address).map(|(name, _)| name);
    let replies: Vec<Reply> = all
        .iter()
        .filter(wanted)
        .map(|endpoint| Reply::Endpoint(EndpointReport::new(endpoint, dev(endpoint.address))))
        .collect();
    if replies.is_empty() && id.is_some() {
        return Err("address not found".to_owned());
    }
    Ok(replies)
}
