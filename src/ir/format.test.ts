import { expect, test } from 'vitest';
import { formatProblem } from './format.ts';

test.each([
  'plain',
  '100%%',
  '%REQ(X-Name)%',
  '%REQ(:path?X-Name):12%, %PROTOCOL%',
  '%START_TIME(%Y-%m-%d)%',
  '%START_TIME%',
  '%PATH(NQ)%',
  '%DYNAMIC_METADATA(a:b:c)%',
  '%FILTER_STATE(a.b:PLAIN)%',
  '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%',
])('%s', (text) => {
  expect(formatProblem(text)).toBeUndefined();
});

test.each([
  ['100%', /write %% for a percent sign/],
  ['%req%', /write %% for a percent sign/],
  // What is in the Pod of the proxy is not for whoever may write a policy.
  ['%FILE_CONTENT(/var/run/secrets/token)%', /%FILE_CONTENT% is not an operator/],
  ['%ENVIRONMENT(HOME)%', /%ENVIRONMENT% is not an operator/],
  ['%COALESCE({})%', /%COALESCE% is not an operator/],
  ['%REQ%', /write it as %REQ\(X-Name\)%/],
  ['%REQ()%', /write it as/],
  ['%REQ(a?b?c)%', /write it as/],
  ['%REQ(a b)%', /write it as/],
  ['%PROTOCOL(x)%', /write it as %PROTOCOL%/],
  ['%RESPONSE_CODE:5%', /write it as/],
  ['%START_TIME:5%', /write it as/],
  ['%PATH(x)%', /write it as/],
  ['%FILTER_STATE(a:FIELD)%', /write it as/],
  ['%METADATA(a:b)%', /write it as/],
  // Envoy finds no command in what has a line break.
  ['%DYNAMIC_METADATA(a\nb)%', /write it as/],
  ['%START_TIME(%Y\n)%', /write it as/],
])('%s is refused', (text, why) => {
  expect(formatProblem(text)).toMatch(why);
});
