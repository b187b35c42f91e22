//! A virtual host, from within the node: what is in its queues is put there and taken out without the client that is tested.

use std::fmt::Write as _;

use super::Rabbit;
use super::erlang::{binary, bytes};

/// A virtual host of a node, for one test: nothing in it meets another test.
pub struct Vhost<'a> {
    pub(super) rabbit: &'a Rabbit,
    pub(super) name: String,
}

/// A message that was taken out of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drained {
    pub id: String,
    pub exchange: String,
    pub routing_key: String,
    pub body: Vec<u8>,
    pub redelivered: bool,
    /// Its properties as Erlang writes them: `{'P_basic',<<"text/plain">>,…}`, headers with their types on the wire.
    pub properties: String,
}

impl Vhost<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its URL, with user and password.
    pub fn url(&self) -> String {
        self.url_of("guest", "guest")
    }

    /// Its URL for another user.
    pub fn url_of(&self, user: &str, password: &str) -> String {
        let path = self.name.replace('/', "%2F");
        format!("amqp://{user}:{password}@127.0.0.1:{}/{path}", self.rabbit.port)
    }

    /// Its URL for TLS, without parameters.
    pub fn tls_url(&self) -> String {
        let path = self.name.replace('/', "%2F");
        format!("amqps://guest:guest@127.0.0.1:{}/{path}", self.rabbit.tls_port)
    }

    /// Lets a user configure, write and read what the patterns say.
    pub fn allow(&self, user: &str, configure: &str, write: &str, read: &str) {
        let (user, vhost) = (binary(user), binary(&self.name));
        let patterns = [configure, write, read].map(binary).join(", ");
        let asked = format!(
            "rabbit_auth_backend_internal:set_permissions({user}, {vhost}, {patterns}, <<\"test\">>)"
        );
        assert_eq!(self.rabbit.ask(&asked), "ok");
    }

    /// Declares a durable queue with arguments as Erlang writes them: `{<<"x-max-length">>, long, 1}`.
    pub fn declare_queue(&self, name: &str, arguments: &str) {
        let declare = format!(
            "{{'queue.declare', 0, {}, false, true, false, false, false, [{arguments}]}}",
            binary(name)
        );
        self.call(&declare);
    }

    /// Declares a durable exchange of a type such as `topic`.
    pub fn declare_exchange(&self, name: &str, kind: &str) {
        let declare = format!(
            "{{'exchange.declare', 0, {}, {}, false, true, false, false, false, []}}",
            binary(name),
            binary(kind)
        );
        self.call(&declare);
    }

    /// Binds a queue to an exchange.
    pub fn bind(&self, queue: &str, exchange: &str, routing_key: &str) {
        let [queue, exchange, key] = [queue, exchange, routing_key].map(binary);
        self.call(&format!("{{'queue.bind', 0, {queue}, {exchange}, {key}, false, []}}"));
    }

    /// Deletes a queue with all that is in it.
    pub fn delete_queue(&self, name: &str) {
        self.call(&format!("{{'queue.delete', 0, {}, false, false, false}}", binary(name)));
    }

    /// How many messages a queue holds that nobody has taken.
    pub fn depth(&self, queue: &str) -> usize {
        let declare = format!(
            "{{'queue.declare', 0, {}, true, false, false, false, false, []}}",
            binary(queue)
        );
        self.inside(&format!(
            "begin {{'queue.declare_ok', _, Count, _}} = amqp_channel:call(Channel, {declare}), Count end"
        ))
        .parse()
        .expect("a number")
    }

    /// How many messages of a queue somebody has taken, and has not answered.
    pub fn unanswered(&self, queue: &str) -> usize {
        let found = self.rabbit.ask(&format!(
            "begin {{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r({}, queue, {})), \
             [{{_, Count}}] = rabbit_amqqueue:info(Queue, [messages_unacknowledged]), Count end",
            binary(&self.name),
            binary(queue)
        ));
        found.parse().expect("a number")
    }

    /// Puts a message into a queue; properties as Erlang writes them: `#{message_id => <<"1">>}`, headers with types.
    pub fn put(&self, queue: &str, body: &[u8], properties: &str) {
        let fields = [
            "content_type",
            "content_encoding",
            "headers",
            "delivery_mode",
            "priority",
            "correlation_id",
            "reply_to",
            "expiration",
            "message_id",
            "timestamp",
            "type",
            "user_id",
            "app_id",
            "cluster_id",
        ];
        let fields: String = fields.iter().fold(String::new(), |mut text, field| {
            let _ = write!(text, ", maps:get({field}, Given, undefined)");
            text
        });
        self.inside(&format!(
            "begin Given = {properties}, amqp_channel:call(Channel, \
             {{'basic.publish', 0, <<>>, {queue}, false, false}}, \
             {{amqp_msg, {{'P_basic'{fields}}}, {body}}}) end",
            queue = binary(queue),
            body = bytes(body),
        ));
    }

    /// Takes all messages out of a queue.
    pub fn drain(&self, queue: &str) -> Vec<Drained> {
        let text = self.inside(&format!(
            r#"begin
                 Encode = fun(Field) -> base64:encode(iolist_to_binary(Field)) end,
                 Take = fun Take(Taken) ->
                   case amqp_channel:call(Channel, {{'basic.get', 0, {}, true}}) of
                     {{'basic.get_empty', _}} -> lists:reverse(Taken);
                     {{{{'basic.get_ok', _, Again, Exchange, Key, _}}, {{amqp_msg, Properties, Body}}}} ->
                       Id = case element(10, Properties) of undefined -> <<>>; Text -> Text end,
                       Fields = [Id, Exchange, Key, Body, atom_to_binary(Again), io_lib:format("~0p", [Properties])],
                       Take([lists:join(" ", [Encode(Field) || Field <- Fields]) | Taken])
                   end
                 end,
                 iolist_to_binary(lists:join(",", Take([])))
               end"#,
            binary(queue)
        ));
        let text = text.trim_start_matches("<<\"").trim_end_matches("\">>");
        if text == "<<>>" {
            return Vec::new();
        }
        text.split(',').map(Drained::read).collect()
    }

    /// Calls a method on a channel.
    fn call(&self, method: &str) {
        self.inside(&format!("amqp_channel:call(Channel, {method})"));
    }

    /// What an expression comes to that has a `Channel` in this virtual host, in the node itself.
    fn inside(&self, expression: &str) -> String {
        self.rabbit.ask(&format!(
            "begin {{ok, Connection}} = amqp_connection:start({{amqp_params_direct, <<\"guest\">>, none, {}, node(), \
             {{amqp_adapter_info, undefined, undefined, undefined, undefined, <<\"test\">>, {{'Direct', {{0,9,1}}}}, []}}, []}}), \
             {{ok, Channel}} = amqp_connection:open_channel(Connection), \
             try {expression} after amqp_connection:close(Connection) end end",
            binary(&self.name)
        ))
    }
}

impl Drained {
    fn read(line: &str) -> Self {
        let fields: Vec<Vec<u8>> = line.split(' ').map(unbase64).collect();
        let text = |place: usize| String::from_utf8_lossy(&fields[place]).into_owned();
        Drained {
            id: text(0),
            exchange: text(1),
            routing_key: text(2),
            body: fields[3].clone(),
            redelivered: text(4) == "true",
            properties: text(5),
        }
    }
}

fn unbase64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        b'/' => 63,
        _ => panic!("{text:?} is not base64"),
    };
    let digits: Vec<u32> = text.bytes().filter(|byte| *byte != b'=').map(digit).collect();
    let mut bytes = Vec::new();
    for group in digits.chunks(4) {
        let number =
            group.iter().fold(0, |number, digit| number << 6 | digit) << (6 * (4 - group.len()));
        bytes.extend(number.to_be_bytes()[1..group.len()].iter());
    }
    bytes
}
