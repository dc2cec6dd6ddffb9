// docs/transformation.md: what users need to know, with the tables of the code.
import { limits } from '../../ir/transformation.ts';
import { templateFilters, templateFunctions, templateTests, type TemplateFunction } from './functions.ts';

const mebibyte = 1 << 20;

function signature({ name, parameters, optional }: TemplateFunction): string {
  const required = parameters.slice(0, parameters.length - optional).join(', ');
  const more = parameters.slice(parameters.length - optional).map((p, i) => (i === 0 && required === '' ? `[${p}]` : `[, ${p}]`));
  return `${name}(${required}${more.join('')})`;
}

function filterSignature({ name, parameters, optional }: TemplateFunction): string {
  const args = parameters.slice(1);
  return args.length === 0 ? name : signature({ name, parameters: args, optional, runtime: '', description: '' });
}

function table(head: string, rows: readonly (readonly [string, string])[]): string {
  return [`| ${head} | what it gives |`, '| --- | --- |', ...rows.map(([a, b]) => `| \`${a}\` | ${b} |`)].join('\n');
}

/** The page, in Markdown. */
export function transformationDocument(): string {
  return `# Transformations

<!-- Written by src/cmd/generate-docs.ts from the tables of src/policy/transformation; change those. -->

\`spec.transformation\` of a TrafficPolicy changes headers, bodies and Envoy's dynamic metadata of requests and responses by templates. The
templates are those of kgateway (a subset of Jinja); the proxies are stock Envoy, without a module of their own.

\`\`\`yaml
apiVersion: gateway.kgateway.dev/v1alpha1
kind: TrafficPolicy
metadata: { name: transformation, namespace: httpbin }
spec:
  targetRefs: [{ group: gateway.networking.k8s.io, kind: HTTPRoute, name: httpbin }]
  transformation:
    request:
      set: # an existing header is replaced; an empty result removes it
        - { name: ':path', value: '{% if request_header("foo") == "bar" %}/post{% else %}{{ header(":path") }}{% endif %}' }
      remove: [x-internal]
    response:
      add: # an empty result adds nothing
        - { name: x-pod, value: '{{ env("POD_NAME") }}' }
      body:
        parseAs: AsJson # AsString (the default), AsJson or None
        value: '{"author": "{{ slideshow.author }}", "slides": {{ slideshow.slides | tojson }}}'
      dynamicMetadata:
        - { namespace: my.team, key: user, value: { stringValue: '{{ request_header("x-user-id") }}' } }
\`\`\`

All templates see the message as it arrived. Then \`set\`, \`add\` and \`remove\` are applied, in this order, and the body is replaced.
\`:path\`, \`:method\` and \`:authority\` of requests and \`:status\` of responses can be set (an empty result leaves them as they are); the route
stays the one that was chosen before. Headers that frame a message (\`content-length\`, \`transfer-encoding\`, …) cannot be set.

## The language

- \`{{ value }}\` prints, \`{% if %} {% elif %} {% else %} {% endif %}\`, \`{% for item in list %} {% else %} {% endfor %}\`,
  \`{% for key, value in object %}\` (also \`object | items\`), \`{% set name = value %}\`, \`{% raw %} {% endraw %}\`, \`{# comment #}\`. A dash in a
  delimiter (\`{%-\`, \`-}}\`) takes the white space beside it; one line break at the end of a template is not part of it.
- Strings, numbers, \`true\`, \`false\`, \`none\`, lists; \`a.b\`, \`a["b"]\`, \`a[0]\`; \`+ - * / // %\`, \`~\` joins texts; \`== != < <= > >=\`, \`in\`,
  \`and\`, \`or\`, \`not\`; \`a if condition else b\`. In a loop, \`loop.index\`, \`index0\`, \`first\`, \`last\` and \`length\`.
- With \`parseAs: AsJson\` the fields of the body are variables. Objects and lists print as JSON.

${table(
  'function',
  templateFunctions.map((f) => [signature(f), f.description]),
)}

${table(
  'filter, as in `value \\| filter`',
  templateFilters.map((f) => [filterSignature(f), f.description]),
)}

Tests, as in \`value is defined\` and \`value is not defined\`: ${templateTests.map((t) => `\`${t}\``).join(', ')}.

## Mistakes

| what | becomes |
| --- | --- |
| an unknown function, filter, test or block, wrong arguments, a syntax error | \`Accepted=False\` of the policy, which names the field and the remedy; the routes answer 500 |
| a variable that no template sets, without \`parseAs: AsJson\` | the same |
| \`AsJson\`, and the body is not JSON (an empty body is no error) | 400 |
| a variable or field that the body does not have is printed, looped over or looked into | 400; \`is defined\` and \`default\` may ask for it |
| a value that its header may not have: line breaks, a path without \`/\`, a status outside of 200 to 599 | 400 |
| a body that is read and is larger than ${limits.bodyBytes / mebibyte} MiB | 413 of a request, 500 of a response |
| a template that takes more than its share on this message | 413 of a request, 502 of a response |

A message that cannot be transformed is never passed on as it was.

## Limits

| of one message | at most |
| --- | --- |
| body that is read, and that a template makes | ${limits.bodyBytes / mebibyte} MiB |
| depth of a JSON body | ${limits.depth} |
| values in a JSON body | ${limits.values.toLocaleString('en')} |
| operations of its templates | ${limits.operations.toLocaleString('en')} |
| text that its templates make on the way | ${limits.bytes / mebibyte} MiB |
| value of a header | ${limits.headerBytes / 1024} KiB |

Bodies are read whole only where a template needs them: with a \`body.value\`, \`body()\`, \`context()\`, or \`AsJson\`. Such a route does not stream.
WebSockets and CONNECT are never held up; their bodies are not transformed. A compressed body is not decompressed first.

Templates of literals and headers alone cost nothing to speak of; others are run by Envoy's Lua filter
([numbers](decisions/0007-transformation-in-lua.md)).
`;
}
