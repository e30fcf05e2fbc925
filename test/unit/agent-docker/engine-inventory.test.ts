import { expect, test } from 'vitest';
import { inventoryOf } from '../../../agent/engine-inventory.ts';

test('labels and generic resources are taken from what the engine says of itself', () => {
  const info = {
    Labels: ['disk=ssd', 'note=a=b', 'bare', ''],
    GenericResources: [
      { DiscreteResourceSpec: { Kind: 'licence', Value: 3 } },
      { NamedResourceSpec: { Kind: 'fpga', Value: 'uuid-1' } },
      { NamedResourceSpec: { Kind: 'fpga', Value: 'uuid-2' } },
    ],
  };
  expect(inventoryOf(info, 2)).toEqual({
    engineLabels: { disk: 'ssd', note: 'a=b', bare: '' },
    resources: { gpu: 2, licence: 3, fpga: 2 },
  });
});

test('an engine that says nothing of these has nothing of them', () => {
  for (const info of [undefined, {}, { Labels: null, GenericResources: null }]) {
    expect(inventoryOf(info, 0)).toEqual({ engineLabels: {}, resources: {} });
  }
});
