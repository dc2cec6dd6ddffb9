import { expect, test } from 'vitest';
import { customResourceDefinition } from '../kube/crd.ts';
import { gatewayParametersCrd } from './gatewayparameters.ts';

test('the kind makes a CRD with kgateway’s names and rule', () => {
  const crd = customResourceDefinition(gatewayParametersCrd) as never as {
    metadata: { name: string };
    spec: { names: object; versions: { schema: { openAPIV3Schema: { properties: { spec: Record<string, unknown> } } } }[] };
  };
  expect(crd.metadata.name).toBe('gatewayparameters.gateway.kgateway.dev');
  expect(crd.spec.names).toMatchObject({ kind: 'GatewayParameters', singular: 'gatewayparameters', categories: ['kgateway'] });
  const spec = crd.spec.versions[0]?.schema.openAPIV3Schema.properties.spec;
  expect(spec).toMatchObject({
    'x-kubernetes-validations': [{ message: 'exactly one of the fields in [kube selfManaged] must be set' }],
    properties: {
      kube: { properties: { deployment: { properties: { replicas: { type: 'integer', format: 'int32', minimum: 0 } } } } },
    },
  });
  expect(spec).not.toHaveProperty('required');
});
